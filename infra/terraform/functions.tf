# What the functions have in common.

locals {
  # A release's zips, from a folder or a bucket.
  zips = { for name in ["webhook", "worker", "cleaner"] : name => "${name}-${var.function_architecture}.zip" }
  code = { for name, zip in local.zips : name => {
    filename  = var.functions_path == null ? null : "${var.functions_path}/${zip}"
    hash      = var.functions_path == null ? null : filebase64sha256("${var.functions_path}/${zip}")
    s3_bucket = one(var.functions_s3[*].bucket)
    s3_key    = var.functions_s3 == null ? null : "${var.functions_s3.prefix}${zip}"
  } }

  worker_timeout = 60

  every_function = {
    RUST_LOG           = var.log_level
    REPORT_TO_GITHUB   = var.report_to_github
    JOB_QUEUE_URL      = aws_sqs_queue.jobs.url
    GITHUB_SECRET_ID   = local.github_secret_arn
    RUNNER_CLASSES     = var.runner_classes_layer_arn == null ? local.runner_classes : "file:/opt/runner-classes.json"
    RUNNER_NAME_PREFIX = var.runner_name_prefix
  }

  # The worker and the cleaner.
  fleet = {
    DEAD_LETTER_QUEUE_URL    = aws_sqs_queue.dead_letter.url
    ECS_CLUSTER              = aws_ecs_cluster.runners.name
    GITHUB_API_URL           = var.github_api_url
    GITHUB_CA_FILE           = var.github_ca_layer_arn == null ? "" : "/opt/ca.pem"
    GITHUB_ENTERPRISE        = var.github_enterprise == null ? "" : var.github_enterprise
    GITHUB_POINTS_PER_MINUTE = tostring(var.github_points_per_minute)
    RUNNER_SCOPE             = var.runner_scope
  }

  # For a list of classes that is too long for a variable, and for a GitHub whose certificate comes from a private
  # authority.
  classes_layers = var.runner_classes_layer_arn == null ? [] : [var.runner_classes_layer_arn]
  layers         = concat(var.github_ca_layer_arn == null ? [] : [var.github_ca_layer_arn], local.classes_layers)

  tasks = "arn:${local.partition}:ecs:${local.region}:${local.account}:task/${aws_ecs_cluster.runners.name}/*"
}

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_cloudwatch_log_group" "functions" {
  for_each = local.zips

  name              = "/jitgate/${var.name}/${each.key}"
  retention_in_days = var.log_retention
}

resource "aws_iam_role" "functions" {
  for_each = local.zips

  name_prefix        = "${var.name}-${each.key}-"
  description        = "jitgate ${var.name}: ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.lambda_assumes.json
}

resource "aws_iam_role_policy" "functions" {
  for_each = {
    webhook = data.aws_iam_policy_document.webhook.json
    worker  = data.aws_iam_policy_document.worker.json
    cleaner = data.aws_iam_policy_document.cleaner.json
  }

  name   = each.key
  role   = aws_iam_role.functions[each.key].id
  policy = each.value
}

# What each function may do.
data "aws_iam_policy_document" "every_function" {
  for_each = local.zips

  statement {
    sid       = "ReadSecret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.github_secret_arn]
  }
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.functions[each.key].arn}:*"]
  }
}

# What the worker and the cleaner may do, too.
data "aws_iam_policy_document" "fleet" {
  statement {
    sid       = "GiveUpJobs"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letter.arn]
  }
  statement {
    sid       = "SeeTasks"
    actions   = ["ecs:DescribeTasks"]
    resources = [local.tasks]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.runners.arn]
    }
  }
  statement {
    sid     = "ListTasks"
    actions = ["ecs:ListTasks"]
    # This action only knows container instances as resources, and Fargate has none. The condition restricts it to the
    # cluster.
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.runners.arn]
    }
  }
  statement {
    sid       = "StopTasks"
    actions   = ["ecs:StopTask"]
    resources = [local.tasks]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.runners.arn]
    }
  }
}
