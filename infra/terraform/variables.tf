variable "name" {
  type        = string
  default     = "jitgate"
  description = "The beginning of the names of the deployment's queues, functions, roles, log groups and task definitions. Two deployments in one account need different names."

  validation {
    # 20, because the longest name made from it is a role's prefix, NAME-runner-execution-, which can have 38
    # characters.
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.name))
    error_message = "name must consist of 1 to 20 lower-case letters, digits and dashes, begin with a letter and not end with a dash."
  }
}

# --- The functions' code -----------------------------------------------------------------------------------------------

variable "functions_path" {
  type        = string
  default     = null
  description = "The folder of a release's zips (such as `webhook-x86_64.zip`; one for each function, for `function_architecture`). Set either this or `functions_s3`."
}

variable "functions_s3" {
  type = object({
    bucket = string
    prefix = optional(string, "")
  })
  default     = null
  description = "The bucket, in the deployment's region, and the key prefix of a release's zips. Give each release a prefix of its own (`jitgate/v1.2.0/`): Terraform only deploys new zips if the prefix changes."

  validation {
    condition     = (var.functions_s3 == null) != (var.functions_path == null)
    error_message = "Set either functions_path or functions_s3."
  }
}

variable "function_architecture" {
  type        = string
  default     = "x86_64"
  description = "The functions' processor, `x86_64` or `arm64`. It also selects the zips."

  validation {
    condition     = contains(["x86_64", "arm64"], var.function_architecture)
    error_message = "function_architecture must be x86_64 or arm64."
  }
}

variable "webhook_concurrency" {
  type        = number
  default     = 0
  description = "Protects against floods: the webhook handles at most this many deliveries at once, and Lambda limits its URL to ten times as many requests a second. 0 sets no limit. The number is reserved from the account's concurrency. A new account has 10 and cannot reserve any of them, so set this once you have more; 20 is plenty."

  validation {
    condition     = var.webhook_concurrency >= 0 && floor(var.webhook_concurrency) == var.webhook_concurrency
    error_message = "webhook_concurrency must be 0 or a positive whole number."
  }
}

variable "worker_concurrency" {
  type        = number
  default     = 5
  description = "How many batches of up to 10 jobs are launched at once."

  validation {
    condition     = var.worker_concurrency >= 2 && var.worker_concurrency <= 1000
    error_message = "worker_concurrency must be 2 to 1000, Lambda's own limits."
  }
}

variable "max_runners" {
  type        = number
  default     = 0
  description = "How many runners may live at once; further jobs wait. 0 sets no limit. Workers that check at the same moment can exceed it, by (`worker_concurrency` - 1) * 10 at most."

  validation {
    condition     = var.max_runners >= 0 && floor(var.max_runners) == var.max_runners
    error_message = "max_runners must be 0 or a positive whole number."
  }
}

variable "reconcile_repositories" {
  type        = list(string)
  default     = []
  description = "Where the cleaner looks for queued jobs that no delivery announced, in addition to the repositories of recent tasks and those that an App sees pushed to within a day: `OWNER/NAME`. `*` stands for any characters."

  validation {
    condition     = alltrue([for repository in var.reconcile_repositories : can(regex("^[A-Za-z0-9*._-]+/[A-Za-z0-9*._-]+$", repository))])
    error_message = "Each of reconcile_repositories must be OWNER/NAME."
  }
}

variable "runner_version_floor" {
  type        = string
  default     = null
  description = "The cleaner warns of runners with this version or an older one. For a GitHub that does not say itself when a version ends."

  validation {
    condition     = var.runner_version_floor == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.runner_version_floor))
    error_message = "runner_version_floor must be a version such as 2.329.0, or null."
  }
}

variable "cleaner_dry_run" {
  type        = bool
  default     = false
  description = "Whether the cleaner only logs what it would do."
}

variable "log_level" {
  type        = string
  default     = "info"
  description = "How much the functions log: `error`, `warn`, `info` or `debug`."

  validation {
    condition     = contains(["error", "warn", "info", "debug"], var.log_level)
    error_message = "log_level must be error, warn, info or debug."
  }
}

variable "log_retention" {
  type        = number
  default     = 30
  description = "How many days the logs of functions and runners are kept."

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention)
    error_message = "log_retention must be a number of days that CloudWatch Logs supports, such as 7, 30 or 365."
  }
}

# --- GitHub ------------------------------------------------------------------------------------------------------------

variable "runner_scope" {
  type        = string
  default     = "org"
  description = "Where runners are registered: with the organisation that owns the job's repository (`org`), with the repository (`repo`), or with an enterprise, for all of its organisations (`enterprise`). Repositories of personal accounts have runners of their own in any case. An enterprise needs a classic personal access token instead of a GitHub App."

  validation {
    condition     = contains(["org", "repo", "enterprise"], var.runner_scope)
    error_message = "runner_scope must be org, repo or enterprise."
  }
}

variable "github_enterprise" {
  type        = string
  default     = null
  description = "The enterprise's slug, as in `github.com/enterprises/SLUG`. Only read if `runner_scope` is `enterprise`."

  validation {
    condition     = var.github_enterprise == null || can(regex("^[A-Za-z0-9_-]+$", var.github_enterprise))
    error_message = "github_enterprise must be an enterprise's slug: letters, digits, dashes and underscores."
  }
}

variable "allowed_installations" {
  type        = list(string)
  default     = []
  description = "The accounts whose jobs are taken: logins of organisations and users, or ids of the App's installations. If empty, every signed delivery is accepted."

  validation {
    condition     = alltrue([for entry in var.allowed_installations : can(regex("^[A-Za-z0-9_-]+$", entry))])
    error_message = "allowed_installations must be logins or installation ids."
  }
}

variable "report_to_github" {
  type        = string
  default     = "none"
  description = "Whether a job that is refused, is given up or has waited for ten minutes gets a check run on its commit that says why (`checks`). The App needs the repository permission *Checks: Read and write*. Everybody who sees the repository sees the check run."

  validation {
    condition     = contains(["none", "checks"], var.report_to_github)
    error_message = "report_to_github must be none or checks."
  }
}

variable "github_api_url" {
  type        = string
  default     = "https://api.github.com"
  description = "The URL of GitHub's REST API. GitHub Enterprise Server has it at `https://HOST/api/v3`, GitHub Enterprise Cloud with data residency at `https://api.SUBDOMAIN.ghe.com`."

  validation {
    condition     = can(regex("^(https://[^\\s/]+(/api/v3)?|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)$", var.github_api_url))
    error_message = "github_api_url must be an https URL without a trailing slash; plain http is only allowed on loopback."
  }
}

variable "github_ca_layer_arn" {
  type        = string
  default     = null
  description = "For a GitHub whose certificate comes from a private authority: the ARN of a Lambda layer version with that authority's certificate in the file `ca.pem`, at the top of the layer."

  validation {
    condition     = var.github_ca_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:.+:[0-9]+$", var.github_ca_layer_arn))
    error_message = "github_ca_layer_arn must be the ARN of a Lambda layer version, or null."
  }
}

variable "github_points_per_minute" {
  type        = number
  default     = 900
  description = "GitHub's secondary rate limit, in points a minute and installation. The worker registers runners, at 5 points each, a little more slowly than that. 0 turns the pacing off."

  validation {
    condition     = var.github_points_per_minute >= 0
    error_message = "github_points_per_minute must be 0 or more."
  }
}

variable "runner_name_prefix" {
  type        = string
  default     = "jit"
  description = "The beginning of all runner names. Deployments that register runners with the same organisation need different prefixes, because each cleans up all runners with its own prefix."

  validation {
    condition     = can(regex("^[a-z0-9]{1,12}$", var.runner_name_prefix))
    error_message = "runner_name_prefix must consist of 1 to 12 lower-case letters and digits."
  }
}

# --- Network -----------------------------------------------------------------------------------------------------------

variable "vpc_id" {
  type        = string
  description = "The VPC in which runners run and in which their security group is created."

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be a VPC's id."
  }
}

variable "subnet_ids" {
  type        = list(string)
  description = "1 to 16 subnets of that VPC from which GitHub can be reached: public subnets with `assign_public_ip`, or private subnets behind a NAT gateway. Fargate is less likely to lack capacity in several availability zones than in one."

  validation {
    condition     = length(var.subnet_ids) >= 1 && length(var.subnet_ids) <= 16
    error_message = "subnet_ids must name 1 to 16 subnets."
  }
}

variable "security_group_ids" {
  type        = list(string)
  default     = []
  description = "The runners' security groups, at most 5. If empty, a group without inbound rules is created."

  validation {
    condition     = length(var.security_group_ids) <= 5
    error_message = "security_group_ids must name at most 5 security groups."
  }
}

variable "assign_public_ip" {
  type        = bool
  default     = true
  description = "Whether runners get public IP addresses. They need them in a public subnet, but not behind a NAT gateway."
}

# --- Jobs and runners --------------------------------------------------------------------------------------------------

variable "runner_labels" {
  type        = list(string)
  default     = ["fargate"]
  description = "The labels of the default class. A job is taken if each label in its runs-on is one of these."

  validation {
    condition     = length(var.runner_labels) >= 1 && length(var.runner_labels) <= 100 && alltrue([for label in var.runner_labels : can(regex("^[^\\s\",\\\\]([^\",\\\\]*[^\\s\",\\\\])?$", label))])
    error_message = "runner_labels must be 1 to 100 labels without commas, quotation marks, backslashes, or spaces at either end."
  }
}

variable "runner_group_id" {
  type        = number
  default     = 1
  description = "The id of the runner group that runners join. 1 is GitHub's default group; a repository has no other."

  validation {
    condition     = var.runner_group_id >= 1
    error_message = "runner_group_id must be 1 or more."
  }
}

variable "runner_image" {
  type = string
  # GitHub refuses outdated runners, and a just-in-time runner does not update itself. Fargate pulls at each start, so a tag
  # that moves keeps runners current.
  default     = "ghcr.io/actions/actions-runner:latest"
  description = "The runners' container image, with `run.sh` of actions/runner in its working directory, `sh` and `sed`. Each task pulls it anew, so the default is always GitHub's newest. To pin it, name a version instead of `latest`, such as `2.338.0`, and keep it current: GitHub refuses versions that are more than 30 days behind."

  validation {
    condition     = length(var.runner_image) > 0
    error_message = "runner_image must not be empty."
  }
}

variable "runner_image_repository_arn" {
  type        = string
  default     = null
  description = "The ARN of the ECR repository that holds `runner_image`, so that the deployment may pull from it. Null for a public image."

  validation {
    condition     = var.runner_image_repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", var.runner_image_repository_arn))
    error_message = "runner_image_repository_arn must be the ARN of an ECR repository, or null."
  }
}

variable "runner_repository" {
  type        = bool
  default     = false
  description = "Whether to create an ECR repository for images of your own, from which the deployment may pull. Its URI is an output."
}

variable "runner_architecture" {
  type        = string
  default     = "X86_64"
  description = "The runners' processor, `X86_64` or `ARM64`. ARM64 costs a fifth less, but most workflows expect X86_64."

  validation {
    condition     = contains(["X86_64", "ARM64"], var.runner_architecture)
    error_message = "runner_architecture must be X86_64 or ARM64."
  }
}

variable "runner_cpu" {
  type        = number
  default     = 1024
  description = "CPU units of a runner; 1024 units are one vCPU. A new account can run 6 vCPUs at once."

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.runner_cpu)
    error_message = "runner_cpu must be 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "runner_memory" {
  type        = number
  default     = 4096
  description = "Memory of a runner in MiB. Fargate allows 2 to 8 GiB for each vCPU."

  validation {
    condition     = var.runner_memory >= 512 && var.runner_memory <= 122880
    error_message = "runner_memory must be 512 to 122880."
  }
}

variable "runner_storage" {
  type        = number
  default     = 20
  description = "Disk of a runner in GiB. The task's price includes 20."

  validation {
    condition     = var.runner_storage >= 20 && var.runner_storage <= 200
    error_message = "runner_storage must be 20 to 200."
  }
}

variable "runner_capacity" {
  type        = list(string)
  default     = ["on-demand"]
  description = "The kinds of Fargate capacity, in the order in which they are tried: `on-demand`, `spot` or both. Spot costs 50 to 70 % less, but AWS can end a job at two minutes' notice."

  validation {
    condition     = length(var.runner_capacity) >= 1 && length(distinct(var.runner_capacity)) == length(var.runner_capacity) && alltrue([for kind in var.runner_capacity : contains(["on-demand", "spot"], kind)])
    error_message = "runner_capacity must be on-demand, spot or both, each once."
  }
}

variable "runner_classes" {
  type = list(object({
    name               = string
    labels             = list(string)
    runner_group_id    = optional(number)
    image              = optional(string)
    architecture       = optional(string)
    cpu                = optional(number)
    memory             = optional(number)
    storage            = optional(number)
    capacity           = optional(list(string))
    subnet_ids         = optional(list(string))
    security_group_ids = optional(list(string))
    assign_public_ip   = optional(bool)
    idle_minutes       = optional(number)
    start_minutes      = optional(number)
    capacity_provider  = optional(string)
    lifetime_minutes   = optional(number)
    fallback           = optional(list(string))
    task_definition    = optional(string)
    container          = optional(string, "runner")
    runner_group       = optional(string)
    architectures      = optional(list(string))
    sizes = optional(object({
      cpu    = optional(number)
      memory = optional(number)
      disk   = optional(number)
      arch   = optional(bool)
      spot   = optional(bool)
      run    = optional(bool)
    }))
    max_runners         = optional(number)
    max_per_owner       = optional(number)
    max_per_repository  = optional(number)
    environment         = optional(map(string))
    task_role           = optional(string)
    execution_role      = optional(string)
    tags                = optional(map(string))
    repositories        = optional(list(string))
    gate                = optional(bool)
    job_started         = optional(string)
    job_completed       = optional(string)
    public_repositories = optional(bool)
    fork_pull_requests  = optional(bool)
    self_hosted         = optional(bool)
    requires            = optional(list(string))
    excluded_labels     = optional(list(string))
    compatible          = optional(list(string))
    ignored_labels      = optional(list(string))
    translate = optional(list(object({
      label = string
      means = optional(list(string))
      says  = optional(string)
      drops = optional(string)
    })))
    warm = optional(list(object({
      count     = number
      place     = optional(string)
      days      = optional(list(string))
      hours     = optional(string)
      time_zone = optional(string)
    })))
  }))
  default     = []
  description = "For more than one class: all classes, which replace the class that the variables above describe. Those variables are the classes' defaults. The module creates a task definition for each class, unless the class names one with `task_definition`. Such a task definition must be named NAME-runner-…, with the module's `name`, and use the module's two runner roles; the class's `cpu`, `memory` and `storage` override its own. With `architectures`, the module creates a task definition for each of them, and `architecture` is that of jobs that ask for none. `sizes`, in vCPU and GiB, and the keys after it are those of the tables of runner classes and warm runners in jitgate's documentation; the key `for` is called `place` here, `means` of `translate` is called `says` where it is not a list, and a provider in `capacity` is the key `capacity_provider`, which comes after `capacity`."

  validation {
    condition     = length(distinct(var.runner_classes[*].name)) == length(var.runner_classes)
    error_message = "The names in runner_classes must be unique."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : can(regex("^[A-Za-z0-9_-]{1,24}$", class.name))])
    error_message = "A class's name must consist of 1 to 24 letters, digits, dashes and underscores."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : length(class.labels) >= 1 && length(class.labels) <= 100 && alltrue([for label in class.labels : can(regex("^[^\\s\",\\\\]([^\",\\\\]*[^\\s\",\\\\])?$", label))])])
    error_message = "A class must have 1 to 100 labels without commas, quotation marks, backslashes, or spaces at either end."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : alltrue([for other in coalesce(class.fallback, []) : contains(var.runner_classes[*].name, other) && other != class.name])])
    error_message = "A class's fallback must name other classes of runner_classes."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : alltrue([for kind in coalesce(class.capacity, ["spot"]) : contains(["on-demand", "spot"], kind)])])
    error_message = "A class's capacity must be on-demand, spot or both."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : contains(["X86_64", "ARM64"], coalesce(class.architecture, "X86_64"))])
    error_message = "A class's architecture must be X86_64 or ARM64."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : length(setsubtract(coalesce(class.architectures, []), ["X86_64", "ARM64"])) == 0 && (class.architectures == null || contains(coalesce(class.architectures, []), coalesce(class.architecture, var.runner_architecture)))])
    error_message = "A class's architectures must be X86_64, ARM64 or both, and include its architecture."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.runner_group == null || class.runner_group_id == null])
    error_message = "A class must not have both runner_group and runner_group_id."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : coalesce(class.idle_minutes, 10) >= 2 && coalesce(class.idle_minutes, 10) <= 1440 && coalesce(class.lifetime_minutes, 1) >= 1])
    error_message = "A class's idle_minutes must be 2 to 1440, and its lifetime_minutes 1 or more."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : coalesce(class.storage, 20) >= 20 && coalesce(class.storage, 20) <= 200])
    error_message = "A class's storage must be 20 to 200."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || (class.image == null && class.architectures == null)])
    error_message = "A class that names its task_definition must set neither image nor architectures: the task definition has both."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.capacity_provider == null || (class.task_definition != null && class.storage == null && !coalesce(class.assign_public_ip, false))])
    error_message = "A class with a capacity_provider must name its task_definition, and set neither storage nor assign_public_ip, which ECS takes for Fargate only."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : coalesce(class.start_minutes, 20) >= 2 && coalesce(class.start_minutes, 20) <= 1440])
    error_message = "A class's start_minutes must be 2 to 1440."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || (class.cpu == null && class.memory == null) || (class.capacity_provider != null && class.capacity == null && class.cpu != null && class.memory != null) || contains(local.fargate_sizes, "${coalesce(class.cpu, 0)}/${coalesce(class.memory, 0)}")])
    error_message = "A class that names its task_definition must set both or neither of cpu and memory, to a size that Fargate has. They override the task definition's own."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || coalesce(class.storage, 21) > 20])
    error_message = "A class that names its task_definition can set a storage of 21 to 200, which overrides the task definition's own. Fargate does not accept 20 here."
  }
}

variable "runner_classes_layer_arn" {
  type        = string
  default     = null
  description = "For classes that are too long for a function's 4 KB of variables: the ARN of a Lambda layer version with the output `runner_classes` in the file `runner-classes.json`. The functions read that file."

  validation {
    condition     = var.runner_classes_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+$", var.runner_classes_layer_arn))
    error_message = "runner_classes_layer_arn must be the ARN of a Lambda layer version, or null."
  }
}

variable "allowed_role_arns" {
  type        = list(string)
  default     = []
  description = "The roles that `runner_classes` may name in `task_role` and `execution_role`. The worker may pass no others to tasks. Each step of a job can use whatever its `task_role` grants."

  validation {
    condition     = alltrue([for arn in var.allowed_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", arn))])
    error_message = "allowed_role_arns must be the ARNs of roles, without wildcards."
  }
  validation {
    condition     = length(setsubtract(compact(flatten([for class in var.runner_classes : [class.task_role, class.execution_role]])), var.allowed_role_arns)) == 0
    error_message = "A class's task_role and execution_role must be among allowed_role_arns."
  }
}

# --- Docker ------------------------------------------------------------------------------------------------------------

variable "docker_capacity" {
  type        = string
  default     = "none"
  description = "Whether jobs can use Docker. `managed-instances` creates a capacity provider of ECS Managed Instances, a task definition with a privileged container, and a second class, for jobs with the label `docker`. Instances exist only while there are such jobs, and for `docker_scale_in_after` after them. With `runner_classes`, name the provider and the task definition there yourself; the outputs have both."

  validation {
    condition     = contains(["none", "managed-instances"], var.docker_capacity)
    error_message = "docker_capacity must be none or managed-instances."
  }
}

variable "docker_image" {
  type        = string
  default     = null
  description = "The image of runners with Docker, built from `infra/image/docker`. Needed with `docker_capacity`: GitHub's image has no iptables, without which a Docker daemon gives its containers no network."
}

variable "docker_subnet_ids" {
  type        = list(string)
  default     = []
  description = "The subnets of those instances and their tasks. Needed with `docker_capacity`: private subnets behind a NAT gateway. ECS gives tasks off Fargate no public address, so in a public subnet they reach nothing."

  validation {
    condition     = length(var.docker_subnet_ids) <= 16
    error_message = "docker_subnet_ids must name at most 16 subnets."
  }
}

variable "docker_cpu" {
  type        = number
  default     = 2048
  description = "CPU units of a runner with Docker; 1024 units are one vCPU."

  validation {
    condition     = var.docker_cpu >= 128 && var.docker_cpu <= 196608
    error_message = "docker_cpu must be 128 to 196608."
  }
}

variable "docker_memory" {
  type = number
  # An instance of 8 GiB offers its tasks somewhat less, so a task of 8 GiB would need a larger one.
  default     = 7168
  description = "Memory of a runner with Docker in MiB. An instance keeps some for itself, so choose less than its memory."

  validation {
    condition     = var.docker_memory >= 512
    error_message = "docker_memory must be 512 or more."
  }
}

variable "docker_min_vcpus" {
  type        = number
  default     = 2
  description = "The fewest vCPUs of an instance. With as many as a task has, each task has an instance of its own."

  validation {
    condition     = var.docker_min_vcpus >= 1
    error_message = "docker_min_vcpus must be 1 or more."
  }
}

variable "docker_max_vcpus" {
  type = number
  # As many as docker_cpu: one task an instance. A task that is placed where another is just stopping may hang
  # (aws/amazon-ecs-agent 5138), and tasks of one instance are only as far apart as containers are.
  default     = 2
  description = "The most vCPUs of an instance. With more than a task has, several tasks may share an instance."

  validation {
    condition     = var.docker_max_vcpus >= var.docker_min_vcpus
    error_message = "docker_max_vcpus must be docker_min_vcpus or more."
  }
}

variable "docker_min_memory" {
  type        = number
  default     = 8192
  description = "The least memory of an instance in MiB."

  validation {
    condition     = var.docker_min_memory >= 1024
    error_message = "docker_min_memory must be 1024 or more."
  }
}

variable "docker_storage" {
  type        = number
  default     = 100
  description = "Disk of an instance in GiB, for images, containers and everything that its tasks write."

  validation {
    condition     = var.docker_storage >= 30 && var.docker_storage <= 16384
    error_message = "docker_storage must be 30 to 16384."
  }
}

variable "docker_scale_in_after" {
  type        = number
  default     = 300
  description = "How many seconds an instance may idle before ECS ends it. Meanwhile it is paid for, and the next job starts there without waiting for an instance or for the image."

  validation {
    condition     = var.docker_scale_in_after >= 0 && var.docker_scale_in_after <= 3600
    error_message = "docker_scale_in_after must be 0 to 3600."
  }
}

variable "docker_purchase" {
  type        = string
  default     = "on-demand"
  description = "Whether the instances are On-Demand (`on-demand`) or Spot (`spot`). AWS can end Spot instances at two minutes' notice."

  validation {
    condition     = contains(["on-demand", "spot"], var.docker_purchase)
    error_message = "docker_purchase must be on-demand or spot."
  }
}

# --- Monitoring --------------------------------------------------------------------------------------------------------

variable "monitoring" {
  type        = string
  default     = "basic"
  description = "What to create for watching. `basic`: saved queries, and the seven alarms that tell of lost jobs, which cost $0.70 a month. `full`: all fifteen alarms, which cost $1.50, and a dashboard for $3. An account's first ten alarms and three dashboards are free. `off`: nothing."

  validation {
    condition     = contains(["off", "basic", "full"], var.monitoring)
    error_message = "monitoring must be off, basic or full."
  }
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "The ARN of an SNS topic to notify when an alarm goes off and when it ends. If null, alarms notify nobody."

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic, or null."
  }
}
