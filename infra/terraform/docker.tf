# Runners with Docker, on instances that ECS manages, if asked for.
#
# A CloudFormation stack makes the capacity provider and its task definition: only provider 6.27 and newer know Managed
# Instances, and the module supports older ones.

locals {
  has_docker = var.docker_capacity == "managed-instances"

  # A name must not begin with aws, ecs or fargate, and that of a deployment may.
  docker_provider = "docker-${var.name}"
  docker_family   = "${var.name}-runner-docker"

  # ECS attaches such a provider to its cluster by itself. What becomes of it if somebody then sets the cluster's own list of
  # providers is not documented, so Terraform sets that list only when it makes the cluster, before this.
  docker_instances = {
    Provider = {
      Type = "AWS::ECS::CapacityProvider"
      Properties = {
        Name        = local.docker_provider
        ClusterName = aws_ecs_cluster.runners.name
        ManagedInstancesProvider = {
          InfrastructureRoleArn      = one(aws_iam_role.docker_infrastructure[*].arn)
          PropagateTags              = "CAPACITY_PROVIDER"
          InfrastructureOptimization = { ScaleInAfter = var.docker_scale_in_after }
          InstanceLaunchTemplate = {
            Ec2InstanceProfileArn = one(aws_iam_instance_profile.docker[*].arn)
            CapacityOptionType    = var.docker_purchase == "spot" ? "SPOT" : "ON_DEMAND"
            NetworkConfiguration = {
              Subnets        = var.docker_subnet_ids
              SecurityGroups = length(var.security_group_ids) > 0 ? var.security_group_ids : local.made_security_groups
            }
            StorageConfiguration = { StorageSizeGiB = var.docker_storage }
            InstanceRequirements = {
              VCpuCount           = { Min = var.docker_min_vcpus, Max = var.docker_max_vcpus }
              MemoryMiB           = { Min = var.docker_min_memory }
              CpuManufacturers    = var.runner_architecture == "ARM64" ? ["amazon-web-services"] : ["intel", "amd"]
              InstanceGenerations = ["current"]
              # Their processors are slow once their credits are used up, and a build uses them up.
              BurstablePerformance = "excluded"
            }
          }
        }
      }
    }
  }
}

resource "aws_cloudformation_stack" "docker" {
  count = local.has_docker ? 1 : 0

  name = "${var.name}-docker"

  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "Runners with Docker of ${var.name}: made by the jitgate Terraform module"
    Resources = merge(local.docker_instances, {
      TaskDefinition = {
        Type = "AWS::ECS::TaskDefinition"
        Properties = {
          Family                  = local.docker_family
          RequiresCompatibilities = ["MANAGED_INSTANCES"]
          NetworkMode             = "awsvpc"
          Cpu                     = tostring(var.docker_cpu)
          Memory                  = tostring(var.docker_memory)
          RuntimePlatform         = { OperatingSystemFamily = "LINUX", CpuArchitecture = var.runner_architecture }
          ExecutionRoleArn        = aws_iam_role.runner_execution.arn
          TaskRoleArn             = aws_iam_role.runner_task.arn
          # Without a path on the host, it is the task's own and goes with it. Docker cannot put its overlays on the container's.
          Volumes = [{ Name = "docker" }]
          ContainerDefinitions = [{
            Name        = "runner"
            Image       = var.docker_image
            Essential   = true
            Privileged  = true
            MountPoints = [{ SourceVolume = "docker", ContainerPath = "/var/lib/docker" }]
            # The image's entry point starts the daemon, then this as the runner's user.
            Command     = local.runner_command
            StopTimeout = 120
            Environment = [for variable in local.runner_environment : { Name = variable.name, Value = variable.value }]
            LogConfiguration = {
              LogDriver = "awslogs"
              Options   = local.runner_log
            }
          }]
        }
      }
    })
    Outputs = { TaskDefinition = { Value = { Ref = "TaskDefinition" } } }
  })

  # Instances that still run a task must not lose what their agent needs to report its end.
  depends_on = [
    aws_ecs_cluster_capacity_providers.runners,
    aws_iam_role_policy.docker_pass,
    aws_iam_role_policy_attachment.docker_infrastructure,
    aws_iam_role_policy_attachment.docker_instance,
  ]

  lifecycle {
    precondition {
      condition     = var.docker_image != null && length(var.docker_subnet_ids) > 0
      error_message = "docker_capacity needs docker_image, an image built from infra/image/docker, and docker_subnet_ids, private subnets behind a NAT gateway: ECS gives such tasks no public address."
    }
  }
}

resource "aws_iam_role" "docker_infrastructure" {
  count = local.has_docker ? 1 : 0

  name_prefix        = "${var.name}-infrastructure-"
  description        = "jitgate ${var.name}: starts and ends instances"
  assume_role_policy = data.aws_iam_policy_document.docker_assume["ecs.amazonaws.com"].json
}

resource "aws_iam_role_policy_attachment" "docker_infrastructure" {
  count = local.has_docker ? 1 : 0

  role       = aws_iam_role.docker_infrastructure[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"
}

# AWS's policy passes only roles whose names begin with ecsInstanceRole.
resource "aws_iam_role_policy" "docker_pass" {
  count = local.has_docker ? 1 : 0

  name   = "pass"
  role   = aws_iam_role.docker_infrastructure[0].id
  policy = data.aws_iam_policy_document.docker_pass[0].json
}

data "aws_iam_policy_document" "docker_pass" {
  count = local.has_docker ? 1 : 0

  statement {
    sid       = "GiveInstancesTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.docker_instance[0].arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
}

# Whoever breaks out of a privileged container has this role: it must have nothing but what ECS's agent needs.
resource "aws_iam_role" "docker_instance" {
  count = local.has_docker ? 1 : 0

  name_prefix        = "${var.name}-instance-"
  description        = "jitgate ${var.name}: instances, for the agent of ECS"
  assume_role_policy = data.aws_iam_policy_document.docker_assume["ec2.amazonaws.com"].json
}

resource "aws_iam_role_policy_attachment" "docker_instance" {
  count = local.has_docker ? 1 : 0

  role       = aws_iam_role.docker_instance[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonECSInstanceRolePolicyForManagedInstances"
}

resource "aws_iam_instance_profile" "docker" {
  count = local.has_docker ? 1 : 0

  name_prefix = "${var.name}-instance-"
  role        = aws_iam_role.docker_instance[0].name
}

data "aws_iam_policy_document" "docker_assume" {
  for_each = toset(local.has_docker ? ["ecs.amazonaws.com", "ec2.amazonaws.com"] : [])

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = [each.value]
    }
  }
}
