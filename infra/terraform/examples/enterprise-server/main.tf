# GitHub Enterprise Server. The server must be reachable from the internet, because the functions do not run in a VPC.
# Its version must accept the version of the runner image, and the image must trust the server's certificate.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "github_host" {
  type        = string
  description = "The server's host name."
}

variable "vpc_id" {
  type        = string
  description = "The VPC of the runners."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets of the VPC from which the server can be reached."
}

module "jitgate" {
  source = "../.."

  name                     = "jitgate-ghes"
  functions_path           = "${path.root}/release"
  vpc_id                   = var.vpc_id
  subnet_ids               = var.subnet_ids
  github_api_url           = "https://${var.github_host}/api/v3"
  github_points_per_minute = 0 # a server has no rate limits, unless its administrator enables them
  runner_name_prefix       = "jitghes"
}

output "webhook_url" {
  description = "The webhook URL of the GitHub App."
  value       = module.jitgate.webhook_url
}
