# A cache in S3 beside the runners, and a role with which jobs of one owner read and write it.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

variable "owner" {
  type        = string
  description = "The organisation or user whose repositories share the cache, as GitHub spells it."
}

variable "vpc_id" {
  type        = string
  description = "The runners' VPC."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets of the VPC, preferably in several availability zones."
}

variable "route_table_ids" {
  type        = list(string)
  description = "The route tables of these subnets."
}

resource "aws_s3_bucket" "cache" {
  bucket_prefix = "jitgate-cache-"
  force_destroy = true # whatever it holds can be made again
}

resource "aws_s3_bucket_public_access_block" "cache" {
  bucket                  = aws_s3_bucket.cache.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "cache" {
  bucket = aws_s3_bucket.cache.id

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration {
      days = 14
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

# Free of charge, and without it the traffic would go through the NAT gateway.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${data.aws_region.current.id}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
}

resource "aws_iam_role" "jobs" {
  name               = "jitgate-cache-jobs" # a fixed name, so that the plan knows its ARN
  description        = "jobs of ${var.owner}: the cache"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "jobs" {
  name   = "cache"
  role   = aws_iam_role.jobs.id
  policy = data.aws_iam_policy_document.cache.json
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "cache" {
  statement {
    sid       = "Entries"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.cache.arn}/cache/${var.owner}/*"]
  }
  statement {
    sid       = "Find"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.cache.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["cache/${var.owner}/*"]
    }
  }
}

locals {
  job_role = "arn:aws:iam::${data.aws_caller_identity.current.account_id}:role/jitgate-cache-jobs"
}

module "jitgate" {
  source = "../.."

  name              = "jitgate-cache"
  functions_path    = "${path.root}/release"
  vpc_id            = var.vpc_id
  subnet_ids        = var.subnet_ids
  allowed_role_arns = [local.job_role]

  runner_classes = [{
    name         = "cached"
    labels       = ["cached"]
    task_role    = local.job_role
    repositories = ["${var.owner}/*"]
    environment = {
      RUNS_ON_S3_BUCKET_CACHE = aws_s3_bucket.cache.id
      AWS_REGION              = data.aws_region.current.id
    }
  }]
}
