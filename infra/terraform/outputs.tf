output "webhook_url" {
  description = "The webhook URL of your GitHub App."
  value       = aws_cloudformation_stack.webhook_url.outputs["Url"]
}

output "github_secret_arn" {
  description = "The secret in which to fill in `app_id` and `private_key`; its `webhook_secret` goes into your GitHub App."
  value       = local.github_secret_arn
}

output "cluster_name" {
  description = "The runners' ECS cluster."
  value       = aws_ecs_cluster.runners.name
}

output "task_definition_arns" {
  description = "The task definitions that the module creates, by class."
  value       = { for class, definition in aws_ecs_task_definition.runner : class => definition.arn }
}

output "runner_classes" {
  description = "The JSON of RUNNER_CLASSES, to put into a layer (`runner_classes_layer_arn`)."
  value       = local.runner_classes
}

output "runner_repository_uri" {
  description = "The URI of the ECR repository for images of your own; null without `runner_repository`."
  value       = one(aws_ecr_repository.images[*].repository_url)
}

output "docker_capacity_provider" {
  description = "The capacity provider of jobs with Docker, for the `capacity_provider` of a class of your own; null without `docker_capacity`."
  value       = local.has_docker ? local.docker_provider : null
}

output "docker_task_definition_arn" {
  description = "The task definition of jobs with Docker; null without `docker_capacity`."
  value       = one(aws_cloudformation_stack.docker[*].outputs["TaskDefinition"])
}

output "job_queue_url" {
  description = "The URL of the queue of jobs that wait for a runner."
  value       = aws_sqs_queue.jobs.url
}

output "dead_letter_queue_url" {
  description = "The URL of the queue of jobs that were given up."
  value       = aws_sqs_queue.dead_letter.url
}

output "cleaner_function_name" {
  description = "The name of the cleaner's function, to run it by hand."
  value       = aws_lambda_function.cleaner.function_name
}

output "function_names" {
  description = "The names of the functions `webhook`, `worker` and `cleaner`."
  value = {
    webhook = aws_lambda_function.webhook.function_name
    worker  = aws_lambda_function.worker.function_name
    cleaner = aws_lambda_function.cleaner.function_name
  }
}

output "runner_role_arns" {
  description = "The two roles that a task definition of your own must use."
  value = {
    execution = aws_iam_role.runner_execution.arn
    task      = aws_iam_role.runner_task.arn
  }
}

output "runner_container" {
  description = "The `command` and the `environment` that the runner's container of a task definition of your own must have: they contain the gate."
  value = {
    command     = local.runner_command
    environment = local.runner_environment
  }
}
