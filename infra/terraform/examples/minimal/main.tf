# Only what is required: where the release's zips are, and public subnets. A public address is the cheapest way to GitHub.

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
  description = "A VPC with public subnets, such as the account's default one."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of the VPC, preferably in several availability zones."
}

module "jitgate" {
  source = "../.."

  functions_path = "${path.root}/release"
  vpc_id         = var.vpc_id
  subnet_ids     = var.subnet_ids
}

output "webhook_url" {
  description = "The webhook URL of the GitHub App."
  value       = module.jitgate.webhook_url
}

output "github_secret_arn" {
  description = "The secret in which to fill in the App's id and key."
  value       = module.jitgate.github_secret_arn
}
