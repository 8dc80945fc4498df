# The least there is to say: where the release's zips lie, and public subnets with a way out. A public address is the
# cheapest way to GitHub.

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
  description = "A VPC with public subnets, such as the account's default one."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of it, best in several availability zones."
}

module "jitgate" {
  source = "../.."

  functions_path = "${path.root}/release"
  vpc_id         = var.vpc_id
  subnet_ids     = var.subnet_ids
}

output "webhook_url" {
  description = "Goes into the GitHub App."
  value       = module.jitgate.webhook_url
}

output "github_secret_arn" {
  description = "To be filled in with the App's id and key."
  value       = module.jitgate.github_secret_arn
}
