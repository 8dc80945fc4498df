# cleaner: repairs what the other two missed.

resource "aws_lambda_function" "cleaner" {
  function_name = "${var.name}-cleaner"
  description   = "Removes leftovers and finds jobs without a runner"
  role          = aws_iam_role.functions["cleaner"].arn
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.function_architecture]
  memory_size   = 256
  timeout       = 300
  layers        = local.layers

  filename         = local.code.cleaner.filename
  source_code_hash = local.code.cleaner.hash
  s3_bucket        = local.code.cleaner.s3_bucket
  s3_key           = local.code.cleaner.s3_key

  environment {
    variables = merge(local.every_function, local.fleet, {
      ALLOWED_INSTALLATIONS  = join(",", var.allowed_installations)
      DRY_RUN                = tostring(var.cleaner_dry_run)
      RECONCILE_REPOSITORIES = join(",", var.reconcile_repositories)
      RUNNER_VERSION_FLOOR   = var.runner_version_floor == null ? "" : var.runner_version_floor
      # A personal access token can list hooks of others. Ours deliver to this URL.
      WEBHOOK_URL = aws_cloudformation_stack.webhook_url.outputs["Url"]
    })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "TRACE" # with the default, INFO, Lambda would drop lines that `log_level` lets through
    log_group             = aws_cloudwatch_log_group.functions["cleaner"].name
  }

  depends_on = [aws_iam_role_policy.functions]
}

# The next pass starts within five minutes and sees the same state. A retry could only run beside it.
resource "aws_lambda_function_event_invoke_config" "cleaner" {
  function_name          = aws_lambda_function.cleaner.function_name
  maximum_retry_attempts = 0
  # Lambda's default. Without it, each plan would show a change.
  maximum_event_age_in_seconds = 21600
}

# A group of its own, because the scheduler counts its calls by group.
resource "aws_scheduler_schedule_group" "cleaner" {
  name_prefix = "${var.name}-cleaner-"
}

resource "aws_scheduler_schedule" "cleaner" {
  name_prefix         = "${var.name}-cleaner-"
  group_name          = aws_scheduler_schedule_group.cleaner.name
  description         = "jitgate ${var.name}: cleaner"
  schedule_expression = "rate(5 minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.cleaner.arn
    role_arn = aws_iam_role.cleaner_schedule.arn

    retry_policy {
      maximum_retry_attempts = 0
    }
  }
}

resource "aws_iam_role" "cleaner_schedule" {
  name_prefix        = "${var.name}-schedule-"
  description        = "jitgate ${var.name}: calls the cleaner"
  assume_role_policy = data.aws_iam_policy_document.scheduler_assumes.json
}

data "aws_iam_policy_document" "scheduler_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "cleaner_schedule" {
  name   = "schedule"
  role   = aws_iam_role.cleaner_schedule.id
  policy = data.aws_iam_policy_document.cleaner_schedule.json
}

data "aws_iam_policy_document" "cleaner_schedule" {
  statement {
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.cleaner.arn]
  }
}

# If a task stops before its runner takes a job, that job has no runner. The cleaner launches it again at once.
resource "aws_cloudwatch_event_rule" "task_stopped" {
  name_prefix = "${var.name}-task-stopped-"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.runners.arn]
      lastStatus = ["STOPPED"]
    }
  })
}

resource "aws_cloudwatch_event_target" "task_stopped" {
  rule = aws_cloudwatch_event_rule.task_stopped.name
  arn  = aws_lambda_function.cleaner.arn
}

resource "aws_lambda_permission" "task_stopped" {
  function_name = aws_lambda_function.cleaner.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.task_stopped.arn
}

data "aws_iam_policy_document" "cleaner" {
  source_policy_documents = [data.aws_iam_policy_document.every_function["cleaner"].json, data.aws_iam_policy_document.fleet.json]

  statement {
    sid       = "QueueJobs"
    actions   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = [aws_sqs_queue.jobs.arn]
  }
  statement {
    sid = "NoteOnTasks"
    # Notes for the next pass: since when the runner has been idle, or its registration gone.
    actions   = ["ecs:TagResource", "ecs:UntagResource"]
    resources = [local.tasks]
  }
}
