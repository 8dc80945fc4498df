# PostgreSQL and Redis beside the runner, for jobs with the label `services`, on Fargate and without Docker.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

data "aws_region" "current" {}

variable "vpc_id" {
  type        = string
  description = "A VPC with public subnets, such as the account's default one."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of the VPC, preferably in several availability zones."
}

locals {
  name  = "jitgate"
  image = "ghcr.io/actions/actions-runner:latest"
  log = { for prefix in ["runner", "services"] : prefix => {
    logDriver = "awslogs"
    options = {
      awslogs-group         = "/jitgate/${local.name}/runner-output"
      awslogs-region        = data.aws_region.current.id
      awslogs-stream-prefix = prefix
    }
  } }
}

module "jitgate" {
  source = "../.."

  name           = local.name
  functions_path = "${path.root}/release"
  vpc_id         = var.vpc_id
  subnet_ids     = var.subnet_ids

  runner_classes = [
    { name = "default", labels = ["fargate"] },
    { name = "services", labels = ["services"], task_definition = "${local.name}-runner-services" },
  ]
}

resource "aws_ecs_task_definition" "services" {
  # The worker may start only task definitions whose names begin so.
  family                   = "${local.name}-runner-services"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  # For all containers together. They leave out sizes of their own, so that a job can choose a larger task.
  cpu                = 2048
  memory             = 8192
  execution_role_arn = module.jitgate.runner_role_arns.execution
  task_role_arn      = module.jitgate.runner_role_arns.task

  container_definitions = jsonencode([
    {
      name      = "runner"
      image     = local.image
      essential = true
      # The first step finds both ready.
      dependsOn = [
        { containerName = "postgres", condition = "HEALTHY" },
        { containerName = "redis", condition = "HEALTHY" },
      ]
      # The module's own: they contain the gate.
      command          = module.jitgate.runner_container.command
      environment      = module.jitgate.runner_container.environment
      stopTimeout      = 120
      logConfiguration = local.log["runner"]
    },
    # Not essential: the runner's end ends the task, and a database's end fails only the job that needs it.
    {
      name      = "postgres"
      image     = "public.ecr.aws/docker/library/postgres:17"
      essential = false
      # Containers of a task share localhost, and nobody else can reach it.
      environment      = [{ name = "POSTGRES_HOST_AUTH_METHOD", value = "trust" }]
      healthCheck      = { command = ["CMD-SHELL", "pg_isready --username postgres"], interval = 5, retries = 10 }
      logConfiguration = local.log["services"]
    },
    {
      name             = "redis"
      image            = "public.ecr.aws/docker/library/redis:8"
      essential        = false
      healthCheck      = { command = ["CMD-SHELL", "redis-cli ping"], interval = 5, retries = 10 }
      logConfiguration = local.log["services"]
    },
  ])
}
