# Several classes: a small one on Spot that turns to On-Demand, an ARM one, and a large one that may take an hour at most.
# Their labels do not overlap: a runner takes any job whose labels it has, whichever class was meant.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

variable "vpc_id" {
  type        = string
  description = "The VPC of the runners."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of it, best in several availability zones."
}

variable "release_bucket" {
  type        = string
  description = "Bucket that holds the release's zips, in the deployment's region."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that hears of alarms."
}

module "jitgate" {
  source = "../.."

  name            = "jitgate-classes"
  functions_s3    = { bucket = var.release_bucket, prefix = "jitgate/v0.1.0/" }
  vpc_id          = var.vpc_id
  subnet_ids      = var.subnet_ids
  alarm_topic_arn = var.alarm_topic_arn

  # What a class does not say is taken from these.
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
  description = "Goes into the GitHub App."
  value       = module.jitgate.webhook_url
}
