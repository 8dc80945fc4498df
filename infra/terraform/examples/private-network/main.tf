# Runners without public addresses. They reach GitHub through a NAT gateway, and AWS through VPC endpoints. GitHub has
# no endpoint, so a NAT gateway or a proxy is required in any case. The endpoints save money if images come from ECR or
# if there are many logs. docs/NETWORK.md compares the costs.

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
  description = "A VPC with DNS hostnames enabled, which private endpoints need."
}

variable "private_subnet_ids" {
  type        = list(string)
  description = "Subnets behind a NAT gateway, in different availability zones, because an endpoint allows one subnet in each."
}

variable "private_route_table_ids" {
  type        = list(string)
  description = "The route tables of these subnets, for the S3 endpoint."
}

variable "image_repository_arn" {
  type        = string
  description = "The ECR repository of the runner image."
}

variable "image" {
  type        = string
  description = "The runner image in that repository."
}

resource "aws_security_group" "runners" {
  name_prefix = "jitgate-private-"
  description = "runners, outbound traffic only"
  vpc_id      = var.vpc_id

  egress {
    description = "jobs may reach anything"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "endpoints" {
  name_prefix = "jitgate-endpoints-"
  description = "VPC endpoints, for the runners only"
  vpc_id      = var.vpc_id

  ingress {
    description     = "from the runners"
    protocol        = "tcp"
    from_port       = 443
    to_port         = 443
    security_groups = [aws_security_group.runners.id]
  }
}

# The services that Fargate itself calls to start a task: ECR, with its two endpoints, and CloudWatch Logs. ECR keeps
# image layers in S3.
resource "aws_vpc_endpoint" "interface" {
  for_each = toset(["ecr.api", "ecr.dkr", "logs"])

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${data.aws_region.current.id}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = var.private_subnet_ids
  security_group_ids  = [aws_security_group.endpoints.id]
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${data.aws_region.current.id}.s3"
  vpc_endpoint_type = "Gateway" # free of charge
  route_table_ids   = var.private_route_table_ids
}

module "jitgate" {
  source = "../.."

  name                        = "jitgate-private"
  functions_path              = "${path.root}/release"
  vpc_id                      = var.vpc_id
  subnet_ids                  = var.private_subnet_ids
  security_group_ids          = [aws_security_group.runners.id]
  assign_public_ip            = false
  runner_image                = var.image
  runner_image_repository_arn = var.image_repository_arn
}

output "webhook_url" {
  description = "The webhook URL of the GitHub App."
  value       = module.jitgate.webhook_url
}
