# GitHub Enterprise Server, within reach from the internet: the functions have no place in a VPC. The runner image must be
# one that this version of the server takes, and that trusts the server's certificate. Limits of one's own server may be off.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
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
  description = "Subnets of it with a way to the server."
}

module "jitgate" {
  source = "../.."

  name                     = "jitgate-ghes"
  functions_path           = "${path.root}/release"
  vpc_id                   = var.vpc_id
  subnet_ids               = var.subnet_ids
  github_api_url           = "https://${var.github_host}/api/v3"
  github_points_per_minute = 0 # rate limits are off on a server, unless its administrator turned them on
  runner_name_prefix       = "jitghes"
}

output "webhook_url" {
  description = "Goes into the GitHub App."
  value       = module.jitgate.webhook_url
}
