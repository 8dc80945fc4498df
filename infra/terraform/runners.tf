# Runners.

locals {
  # The classes of `runner_classes`, or else one or two that the other variables describe.
  given = length(var.runner_classes) > 0 ? var.runner_classes : [for class in [
    merge(local.nothing_given, { name = "default", labels = var.runner_labels }),
    merge(local.nothing_given, {
      name              = "docker"
      labels            = tolist(["docker"])
      task_definition   = local.docker_family
      capacity_provider = local.docker_provider
      subnet_ids        = var.docker_subnet_ids
      # It waits longer for a start than others: for an instance, and for an image that is not there yet.
      start_minutes = 30
    }),
  ] : class if class.name == "default" || local.has_docker]

  # What one of these classes sets has its type here, since Terraform compares them.
  nothing_given = {
    name            = "", labels = tolist([]), container = "runner"
    task_definition = tostring(null), capacity_provider = tostring(null), start_minutes = tonumber(null), subnet_ids = var.subnet_ids
    image           = null, architecture = null, cpu = null, memory = null, storage = null
    capacity        = null, runner_group_id = null, security_group_ids = null, assign_public_ip = null
    idle_minutes    = null, lifetime_minutes = null, fallback = null, runner_group = null, architectures = null
    sizes           = null, max_runners = null, environment = null, tags = null, repositories = null
    self_hosted     = null, gate = null, public_repositories = null, fork_pull_requests = null, compatible = null
    ignored_labels  = null, warm = null, requires = null, excluded_labels = null, translate = null
    max_per_owner   = null, max_per_repository = null, job_started = null, job_completed = null
    task_role       = null, execution_role = null
  }

  # Each class's architecture for jobs that ask for none, and all of its architectures.
  usual = { for class in local.given : class.name => coalesce(class.architecture, var.runner_architecture) }
  every = { for class in local.given : class.name => class.architectures == null ? [local.usual[class.name]] : class.architectures }

  # The task definitions to create, by class, or by class and architecture for another than the usual one. The family of
  # the class `default` leaves out the class's name, as the template's does.
  made = { for each in flatten([for class in local.given : [for architecture in local.every[class.name] : {
    key          = architecture == local.usual[class.name] ? class.name : "${class.name}/${architecture}"
    suffixes     = [class.name == "default" ? "" : class.name, architecture == local.usual[class.name] ? "" : lower(replace(architecture, "_", "-"))]
    container    = class.container
    image        = coalesce(class.image, var.runner_image)
    architecture = architecture
    cpu          = coalesce(class.cpu, var.runner_cpu)
    memory       = coalesce(class.memory, var.runner_memory)
    storage      = coalesce(class.storage, var.runner_storage)
  } if class.task_definition == null]]) : each.key => merge(each, { family = join("-", compact(concat([var.name, "runner"], each.suffixes))) }) }

  # The sizes in RUNNER_CLASSES. They override a task definition that the class names. A task definition that is created
  # here already has the size. But if jobs choose their sizes, the functions need to know the memory of a job that only
  # chooses processors, and the processors of a job that only chooses memory.
  said = { for class in local.given : class.name => {
    cpu    = class.task_definition != null ? class.cpu : class.sizes != null ? coalesce(class.cpu, var.runner_cpu) : null
    memory = class.task_definition != null ? class.memory : class.sizes != null ? coalesce(class.memory, var.runner_memory) : null
    disk   = class.task_definition != null ? class.storage : null
  } }

  # A capacity provider comes last. ECS assigns no public address there.
  capacities = { for class in local.given : class.name => concat(
    class.capacity != null ? class.capacity : class.capacity_provider != null ? [] : var.runner_capacity,
    class.capacity_provider == null ? [] : [{ provider = class.capacity_provider }],
  ) }

  # The same for every runner's container.
  runner_command = ["sh", "-c", "printf '%s' \"$JITGATE_GATE_SCRIPT\" >/tmp/jitgate-gate.sh && unset JITGATE_GATE_SCRIPT && exec ./run.sh"]
  runner_environment = [
    # The runner executes this script before a job's first step.
    { name = "ACTIONS_RUNNER_HOOK_JOB_STARTED", value = "/tmp/jitgate-gate.sh" },
    # The official image sets this, which would send every line of the runner's diagnostics to CloudWatch.
    { name = "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT", value = "" },
    { name = "JITGATE_GATE_SCRIPT", value = file("${path.module}/gate.sh") },
  ]
  runner_log = {
    awslogs-group         = aws_cloudwatch_log_group.runners.name
    awslogs-region        = local.region
    awslogs-stream-prefix = "runner"
  }

  may_pull_from_ecr    = var.runner_image_repository_arn != null || var.runner_repository
  made_security_groups = aws_security_group.runners[*].id

  # The functions' RUNNER_CLASSES. Null values are left out, so that the functions' own defaults apply.
  runner_classes = jsonencode([for class in local.given : { for key, value in {
    name            = class.name
    labels          = class.labels
    runner_group    = class.runner_group
    runner_group_id = class.runner_group != null ? null : class.runner_group_id == null ? var.runner_group_id : class.runner_group_id
    # A string for one architecture, as in the template; an object for two.
    task_definition = jsondecode(
      class.task_definition != null ? jsonencode(class.task_definition) :
      length(local.every[class.name]) == 1 ? jsonencode(aws_ecs_task_definition.runner[class.name].arn) :
      jsonencode({ for architecture in local.every[class.name] : lower(architecture) => aws_ecs_task_definition.runner[
        architecture == local.usual[class.name] ? class.name : "${class.name}/${architecture}"
      ].arn })
    )
    architecture        = lower(local.usual[class.name])
    container           = class.container
    subnets             = class.subnet_ids == null ? var.subnet_ids : class.subnet_ids
    security_groups     = class.security_group_ids != null ? class.security_group_ids : length(var.security_group_ids) > 0 ? var.security_group_ids : local.made_security_groups
    assign_public_ip    = class.capacity_provider != null ? false : class.assign_public_ip == null ? var.assign_public_ip : class.assign_public_ip
    capacity            = local.capacities[class.name]
    idle_minutes        = class.idle_minutes
    start_minutes       = class.start_minutes
    lifetime_minutes    = class.lifetime_minutes
    fallback            = class.fallback
    cpu                 = try(local.said[class.name].cpu / 1024, null)
    memory              = try(local.said[class.name].memory / 1024, null)
    disk                = local.said[class.name].disk
    sizes               = class.sizes == null ? null : { for key, value in class.sizes : key => value if value != null }
    max_runners         = class.max_runners
    max_per_owner       = class.max_per_owner
    max_per_repository  = class.max_per_repository
    environment         = class.environment
    task_role           = class.task_role
    execution_role      = class.execution_role
    tags                = class.tags
    repositories        = class.repositories
    gate                = class.gate
    job_started         = class.job_started
    job_completed       = class.job_completed
    public_repositories = class.public_repositories
    fork_pull_requests  = class.fork_pull_requests
    self_hosted         = class.self_hosted
    requires            = class.requires
    excluded_labels     = class.excluded_labels
    compatible          = class.compatible
    # A string or a list, like the task definition.
    translate = class.translate == null ? null : [for rule in class.translate : { for key, value in {
      label = rule.label
      means = jsondecode(rule.says != null ? jsonencode(rule.says) : jsonencode(coalesce(rule.means, [])))
      drops = rule.drops
    } : key => value if value != null }]
    ignored_labels = class.ignored_labels
    warm = class.warm == null ? null : [for entry in class.warm : { for key, value in {
      count = entry.count, "for" = entry.place, days = entry.days, hours = entry.hours, time_zone = entry.time_zone
    } : key => value if value != null }]
  } : key => value if value != null }])

  # Fargate's sizes, in CPU units and MiB. Source: "Task CPU and memory" in the ECS developer guide.
  fargate_sizes = flatten([for cpu, memories in {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4097, 1024)
    "1024"  = range(2048, 8193, 1024)
    "2048"  = range(4096, 16385, 1024)
    "4096"  = range(8192, 30721, 1024)
    "8192"  = range(16384, 61441, 4096)
    "16384" = range(32768, 122881, 8192)
  } : [for memory in memories : "${cpu}/${memory}"]])
}

resource "aws_ecs_cluster" "runners" {
  name = var.name
}

resource "aws_ecs_cluster_capacity_providers" "runners" {
  cluster_name       = aws_ecs_cluster.runners.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  # Setting the list again might detach a provider that attached itself; see docker.tf.
  lifecycle {
    ignore_changes = [capacity_providers]
  }
}

resource "aws_ecs_task_definition" "runner" {
  for_each = local.made

  family                   = each.value.family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.runner_execution.arn
  task_role_arn            = aws_iam_role.runner_task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = each.value.architecture
  }

  dynamic "ephemeral_storage" {
    for_each = each.value.storage == 20 ? [] : [each.value.storage]
    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  container_definitions = jsonencode([{
    name      = each.value.container
    image     = each.value.image
    essential = true
    # The official image names neither a command nor an entry point.
    command = local.runner_command
    # The most that Fargate allows. Spot warns two minutes ahead, which a job can use to finish.
    stopTimeout      = 120
    environment      = local.runner_environment
    logConfiguration = { logDriver = "awslogs", options = local.runner_log }
  }])

  lifecycle {
    # A change creates a new revision. Until the functions have its ARN, they start tasks from the old revision, which
    # must not be deregistered before.
    create_before_destroy = true

    precondition {
      condition     = contains(local.fargate_sizes, "${each.value.cpu}/${each.value.memory}")
      error_message = "Class ${each.key}: Fargate has no task of ${each.value.cpu} CPU units and ${each.value.memory} MiB."
    }
  }
}

resource "aws_iam_role" "runner_execution" {
  name_prefix        = "${var.name}-runner-execution-"
  description        = "jitgate ${var.name}: starts the runner's container"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

resource "aws_iam_role_policy" "runner_execution_log" {
  name   = "log"
  role   = aws_iam_role.runner_execution.id
  policy = data.aws_iam_policy_document.runner_log.json
}

resource "aws_iam_role_policy" "runner_execution_pull" {
  count = local.may_pull_from_ecr ? 1 : 0

  name   = "pull"
  role   = aws_iam_role.runner_execution.id
  policy = data.aws_iam_policy_document.runner_pull[0].json
}

# Grants a job nothing in AWS, and must stay so: each step of a job can read the task's credentials. A workflow that
# needs AWS assumes a role of its own through GitHub's OIDC.
resource "aws_iam_role" "runner_task" {
  name_prefix        = "${var.name}-runner-task-"
  description        = "jitgate ${var.name}: jobs, without permissions"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
}

# A resource policy may grant something to everybody, or to all of an organization. A denial comes before any grant.
resource "aws_iam_role_policy" "runner_task" {
  name   = "nothing"
  role   = aws_iam_role.runner_task.id
  policy = data.aws_iam_policy_document.runner_task.json
}

data "aws_iam_policy_document" "runner_task" {
  statement {
    effect    = "Deny"
    actions   = ["*"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "tasks_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:*"]
    }
  }
}

data "aws_iam_policy_document" "runner_log" {
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.runners.arn}:*"]
  }
}

data "aws_iam_policy_document" "runner_pull" {
  count = local.may_pull_from_ecr ? 1 : 0

  statement {
    sid       = "LogInToEcr"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the token is for the whole registry; this action knows no narrower resource
  }
  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = concat(var.runner_image_repository_arn == null ? [] : [var.runner_image_repository_arn], aws_ecr_repository.images[*].arn)
  }
}

resource "aws_ecr_repository" "images" {
  count = var.runner_repository ? 1 : 0

  name                 = "${var.name}-runners"
  force_delete         = true        # images can be built again
  image_tag_mutability = "IMMUTABLE" # a task definition's tag then means what it meant when it was deployed

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  count = var.runner_repository ? 1 : 0

  repository = aws_ecr_repository.images[0].name
  # An image for two processors counts as three. ECR keeps what another image refers to.
  policy = jsonencode({ rules = [{
    rulePriority = 1
    selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
    action       = { type = "expire" }
  }] })
}

resource "aws_security_group" "runners" {
  count = length(var.security_group_ids) == 0 ? 1 : 0

  name_prefix = "${var.name}-runners-"
  description = "jitgate ${var.name}: runners, outbound traffic only"
  vpc_id      = var.vpc_id

  egress {
    description = "jobs may reach anything"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }

  lifecycle {
    create_before_destroy = true # a running task still uses the old one
  }
}

# A job writes here what it likes. In this class, CloudWatch makes no metrics of it.
resource "aws_cloudwatch_log_group" "runners" {
  name              = "/jitgate/${var.name}/runner-output"
  log_group_class   = "INFREQUENT_ACCESS"
  retention_in_days = var.log_retention
}
