output "webhook_url" {
  description = "Where GitHub delivers to; the webhook URL of your GitHub App."
  value       = aws_cloudformation_stack.webhook_url.outputs["Url"]
}

output "github_secret_arn" {
  description = "The secret to fill in with `app_id` and `private_key`; its `webhook_secret` goes into your GitHub App."
  value       = local.github_secret_arn
}

output "cluster_name" {
  description = "The ECS cluster of the runners."
  value       = aws_ecs_cluster.runners.name
}

output "task_definition_arns" {
  description = "The task definitions that were made, by class."
  value       = { for class, definition in aws_ecs_task_definition.runner : class => definition.arn }
}

output "runner_classes" {
  description = "The functions' RUNNER_CLASSES, for a layer of your own (`runner_classes_layer_arn`)."
  value       = local.runner_classes
}

output "job_queue_url" {
  description = "Jobs that wait for their runner."
  value       = aws_sqs_queue.jobs.url
}

output "dead_letter_queue_url" {
  description = "Jobs that were given up."
  value       = aws_sqs_queue.dead_letter.url
}

output "cleaner_function_name" {
  description = "The cleaner, to run it by hand."
  value       = aws_lambda_function.cleaner.function_name
}

output "function_names" {
  description = "The three functions, by what they are: `webhook`, `worker`, `cleaner`."
  value = {
    webhook = aws_lambda_function.webhook.function_name
    worker  = aws_lambda_function.worker.function_name
    cleaner = aws_lambda_function.cleaner.function_name
  }
}

output "runner_role_arns" {
  description = "The two roles that a task definition of your own has to use."
  value = {
    execution = aws_iam_role.runner_execution.arn
    task      = aws_iam_role.runner_task.arn
  }
}
