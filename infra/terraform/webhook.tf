# webhook: puts the jobs of GitHub's deliveries on the queue.

resource "aws_lambda_function" "webhook" {
  function_name                  = "${var.name}-webhook"
  description                    = "Takes GitHub's deliveries and puts queued jobs on the queue"
  role                           = aws_iam_role.functions["webhook"].arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.function_architecture]
  memory_size                    = 256
  timeout                        = 10 # seconds that GitHub waits for an answer
  reserved_concurrent_executions = var.webhook_concurrency == 0 ? -1 : var.webhook_concurrency

  filename         = local.code.webhook.filename
  source_code_hash = local.code.webhook.hash
  s3_bucket        = local.code.webhook.s3_bucket
  s3_key           = local.code.webhook.s3_key

  layers = local.classes_layers

  environment {
    variables = merge(local.every_function, { ALLOWED_INSTALLATIONS = join(",", var.allowed_installations) })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "TRACE" # with the default, INFO, Lambda would drop lines that `log_level` lets through
    system_log_level      = "WARN"  # with the default, INFO, Lambda would write two lines for each request of anybody
    log_group             = aws_cloudwatch_log_group.functions["webhook"].name
  }

  depends_on = [aws_iam_role_policy.functions]

  lifecycle {
    precondition {
      condition     = length(local.runner_classes) <= 3000 || var.runner_classes_layer_arn != null
      error_message = "RUNNER_CLASSES has ${length(local.runner_classes)} characters and may have 3,000, because Lambda allows 4 KB for all of a function's variables. Put the output runner_classes into a layer and set runner_classes_layer_arn, or use fewer classes, shorter labels or fewer subnets."
    }
  }
}

# Open to anyone, because GitHub cannot sign requests for IAM. The webhook checks each delivery's own signature. Such a
# URL needs two permissions, and the second must be limited to calls through the URL. Provider 5 cannot express that,
# and provider 6 expresses it differently from version to version. CloudFormation creates all three the same way for
# each.
resource "aws_cloudformation_stack" "webhook_url" {
  name = "${var.name}-webhook-url"

  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "Function URL of ${var.name}: made by the jitgate Terraform module"
    Resources = {
      Url = {
        Type       = "AWS::Lambda::Url"
        Properties = { TargetFunctionArn = aws_lambda_function.webhook.arn, AuthType = "NONE" }
      }
      MayCallUrl = {
        Type = "AWS::Lambda::Permission"
        Properties = {
          FunctionName        = aws_lambda_function.webhook.arn
          Action              = "lambda:InvokeFunctionUrl"
          Principal           = "*"
          FunctionUrlAuthType = "NONE"
        }
      }
      MayInvokeByUrl = {
        Type = "AWS::Lambda::Permission"
        Properties = {
          FunctionName          = aws_lambda_function.webhook.arn
          Action                = "lambda:InvokeFunction"
          Principal             = "*"
          InvokedViaFunctionUrl = true
        }
      }
    }
    Outputs = { Url = { Value = { "Fn::GetAtt" = ["Url", "FunctionUrl"] } } }
  })
}

data "aws_iam_policy_document" "webhook" {
  source_policy_documents = [data.aws_iam_policy_document.every_function["webhook"].json]

  statement {
    sid       = "QueueJobs"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.jobs.arn]
  }
}
