# worker: launches one runner for each job.

resource "aws_lambda_function" "worker" {
  function_name = "${var.name}-worker"
  description   = "Launches one runner for each queued job"
  role          = aws_iam_role.functions["worker"].arn
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.function_architecture]
  memory_size   = 256
  timeout       = local.worker_timeout
  layers        = local.layers

  filename         = local.code.worker.filename
  source_code_hash = local.code.worker.hash
  s3_bucket        = local.code.worker.s3_bucket
  s3_key           = local.code.worker.s3_key

  environment {
    variables = merge(local.every_function, local.fleet, {
      ALLOWED_INSTALLATIONS  = join(",", var.allowed_installations)
      MAX_RUNNERS            = tostring(var.max_runners)
      RUNNER_SECURITY_GROUPS = join(",", length(var.security_group_ids) > 0 ? var.security_group_ids : local.made_security_groups)
    })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "TRACE" # with the default, INFO, Lambda would drop lines that `log_level` lets through
    log_group             = aws_cloudwatch_log_group.functions["worker"].name
  }

  depends_on = [aws_iam_role_policy.functions]
}

# A job that has to wait for capacity or for GitHub's limits goes back to this function's own queue as a new, delayed
# message. Lambda would mistake that for a loop and stop it after about 16 waits. It is none: waiting ends when the job
# is 24 hours old.
resource "aws_lambda_function_recursion_config" "worker" {
  function_name  = aws_lambda_function.worker.function_name
  recursive_loop = "Allow"
}

resource "aws_lambda_event_source_mapping" "jobs" {
  event_source_arn        = aws_sqs_queue.jobs.arn
  function_name           = aws_lambda_function.worker.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.worker_concurrency
  }
}

data "aws_iam_policy_document" "worker" {
  source_policy_documents = [data.aws_iam_policy_document.every_function["worker"].json, data.aws_iam_policy_document.fleet.json]

  statement {
    sid       = "QueueJobs"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.jobs.arn]
  }
  statement {
    sid = "TakeJobs"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
    ]
    resources = [aws_sqs_queue.jobs.arn]
  }
  statement {
    sid     = "RunRunners"
    actions = ["ecs:RunTask"]
    resources = [
      "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${var.name}-runner:*",
      "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${var.name}-runner-*:*",
    ]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.runners.arn]
    }
  }
  statement {
    sid       = "TagRunnersAtLaunch"
    actions   = ["ecs:TagResource"]
    resources = [local.tasks]
    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }
  statement {
    sid       = "GiveRunnersTheirRoles"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.runner_execution.arn, aws_iam_role.runner_task.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
  dynamic "statement" {
    for_each = length(var.allowed_role_arns) == 0 ? [] : [var.allowed_role_arns]
    content {
      sid       = "GiveRunnersAllowedRoles"
      actions   = ["iam:PassRole"]
      resources = statement.value
      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["ecs-tasks.amazonaws.com"]
      }
    }
  }
}
