# Three classes: a small one on Spot that falls back to On-Demand, one on ARM, and a large one that may run for an hour
# at most. Their labels do not overlap, because a runner takes any job whose labels it has, even one of another class.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "vpc_id" {
  type        = string
  description = "The VPC of the runners."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of the VPC, preferably in several availability zones."
}

variable "release_bucket" {
  type        = string
  description = "The bucket of the release's zips, in the deployment's region."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "The ARN of an SNS topic to notify of alarms."
}

module "jitgate" {
  source = "../.."

  name            = "jitgate-classes"
  functions_s3    = { bucket = var.release_bucket, prefix = "jitgate/v0.1.0/" }
  vpc_id          = var.vpc_id
  subnet_ids      = var.subnet_ids
  alarm_topic_arn = var.alarm_topic_arn

  # Defaults for the classes below.
  runner_cpu    = 1024
  runner_memory = 4096

  runner_classes = [
    {
      name     = "small"
      labels   = ["fargate-small"]
      capacity = ["spot", "on-demand"]
    },
    {
      name         = "arm"
      labels       = ["fargate-arm64"]
      architecture = "ARM64"
      capacity     = ["spot", "on-demand"]
    },
    {
      name             = "large"
      labels           = ["fargate-large"]
      cpu              = 8192
      memory           = 16384
      storage          = 100
      lifetime_minutes = 60
    },
  ]
}

output "webhook_url" {
  description = "The webhook URL of the GitHub App."
  value       = module.jitgate.webhook_url
}
