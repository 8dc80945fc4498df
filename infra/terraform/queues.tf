# Jobs that wait for a runner, and jobs that were given up.

resource "aws_sqs_queue" "jobs" {
  name                    = "${var.name}-jobs"
  sqs_managed_sse_enabled = true
  # GitHub fails a job that is queued for a day. The second day lets the worker log that before SQS drops the message.
  message_retention_seconds = 172800
  # Six times the worker's timeout, as Lambda recommends.
  visibility_timeout_seconds = 6 * local.worker_timeout
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter.arn
    # Only failures count: a job that waits for capacity or for GitHub's limits is sent as a new message.
    maxReceiveCount = 5
  })
}

resource "aws_sqs_queue" "dead_letter" {
  name                      = "${var.name}-dead-letter"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600 # 14 days, the maximum
}
