# Jobs on their way.

resource "aws_sqs_queue" "jobs" {
  name                    = "${var.name}-jobs"
  sqs_managed_sse_enabled = true
  # GitHub fails a job that was queued for a day. The second day lets the worker say so, rather than SQS drop it.
  message_retention_seconds = 172800
  # Six times the worker's timeout, as Lambda asks for.
  visibility_timeout_seconds = 6 * local.worker_timeout
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter.arn
    # Only real failures count: waiting for capacity or for GitHub's limits sends a new message.
    maxReceiveCount = 5
  })
}

resource "aws_sqs_queue" "dead_letter" {
  name                      = "${var.name}-dead-letter"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600 # 14 days, the longest there is
}
