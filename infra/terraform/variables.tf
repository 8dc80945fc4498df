variable "name" {
  type        = string
  default     = "jitgate"
  description = "What the deployment's resources are called after: its queues, functions, roles, log groups and task definitions. Two deployments in one account need two."

  validation {
    # 20, for the longest name made of it is a role's prefix, which may have 38 characters.
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.name))
    error_message = "name must have 1 to 20 lower-case letters, digits and inner dashes, and begin with a letter."
  }
}

# --- The functions' code -----------------------------------------------------------------------------------------------

variable "functions_path" {
  type        = string
  default     = null
  description = "Folder with a release's zips (`webhook-x86_64.zip` and so on, one for each function and the architecture in use). Either this or `functions_s3`."
}

variable "functions_s3" {
  type = object({
    bucket = string
    prefix = optional(string, "")
  })
  default     = null
  description = "Bucket, in the deployment's region, and key prefix of a release's zips. Put each release below a prefix of its own (`jitgate/v1.2.0/`): a new prefix is what makes Terraform deploy anew."

  validation {
    condition     = (var.functions_s3 == null) != (var.functions_path == null)
    error_message = "Set either functions_path or functions_s3."
  }
}

variable "function_architecture" {
  type        = string
  default     = "x86_64"
  description = "The processor of the functions: `x86_64` or `arm64`. It also chooses which of the zips are taken."

  validation {
    condition     = contains(["x86_64", "arm64"], var.function_architecture)
    error_message = "function_architecture must be x86_64 or arm64."
  }
}

variable "webhook_concurrency" {
  type        = number
  default     = 0
  description = "Flood gate: at most this many deliveries are worked on at once, which caps the Function URL at ten times as many requests a second; 0 sets no limit. It is taken from the account's concurrency, 10 in new accounts, which cannot spare any, so set it once you have more: 20 is plenty."

  validation {
    condition     = var.webhook_concurrency >= 0 && floor(var.webhook_concurrency) == var.webhook_concurrency
    error_message = "webhook_concurrency must be 0 or a whole number above."
  }
}

variable "worker_concurrency" {
  type        = number
  default     = 5
  description = "At most this many batches of 10 jobs are launched at once."

  validation {
    condition     = var.worker_concurrency >= 2 && var.worker_concurrency <= 1000
    error_message = "worker_concurrency must be 2 to 1000, as Lambda asks for."
  }
}

variable "max_runners" {
  type        = number
  default     = 0
  description = "At most this many runners live at once; further jobs wait. 0 sets no limit. Workers that look at the same moment may overshoot it, see the README."

  validation {
    condition     = var.max_runners >= 0 && floor(var.max_runners) == var.max_runners
    error_message = "max_runners must be 0 or a whole number above."
  }
}

variable "reconcile_repositories" {
  type        = list(string)
  default     = []
  description = "Where the cleaner looks for queued jobs that GitHub never told of, besides the repositories of recent tasks: `OWNER/NAME`; `*` stands for any characters."

  validation {
    condition     = alltrue([for repository in var.reconcile_repositories : can(regex("^[A-Za-z0-9*._-]+/[A-Za-z0-9*._-]+$", repository))])
    error_message = "reconcile_repositories must be OWNER/NAME each."
  }
}

variable "runner_version_floor" {
  type        = string
  default     = null
  description = "A runner of this version or an older one is warned of, where GitHub does not say itself when a version ends."

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
  description = "Days after which the log lines of functions and runners are deleted."

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention)
    error_message = "log_retention must be one of the numbers of days that CloudWatch Logs knows, such as 7, 30 or 365."
  }
}

# --- GitHub ------------------------------------------------------------------------------------------------------------

variable "runner_scope" {
  type        = string
  default     = "org"
  description = "Where runners are registered: `org`, with the organisation that owns the job's repository, `repo`, with the repository itself (personal accounts have only that), or `enterprise`, with an enterprise, for all of its organisations. The last needs a classic personal access token in place of an App."

  validation {
    condition     = contains(["org", "repo", "enterprise"], var.runner_scope)
    error_message = "runner_scope must be org, repo or enterprise."
  }
}

variable "github_enterprise" {
  type        = string
  default     = null
  description = "The enterprise's slug, as in `github.com/enterprises/SLUG`, if `runner_scope` is `enterprise`."

  validation {
    condition     = var.github_enterprise == null || can(regex("^[A-Za-z0-9_-]+$", var.github_enterprise))
    error_message = "github_enterprise must be an enterprise's slug: letters, digits, dashes and underscores."
  }
}

variable "allowed_installations" {
  type        = list(string)
  default     = []
  description = "Whose jobs are taken: logins of organisations and users, or ids of the App's installations. Empty: everybody's whose deliveries are signed."

  validation {
    condition     = alltrue([for entry in var.allowed_installations : can(regex("^[A-Za-z0-9_-]+$", entry))])
    error_message = "allowed_installations must be logins, or ids of installations."
  }
}

variable "github_api_url" {
  type        = string
  default     = "https://api.github.com"
  description = "GitHub's REST API. GitHub Enterprise Server has it at `https://HOST/api/v3`, data residency at `https://api.SUBDOMAIN.ghe.com`."

  validation {
    condition     = can(regex("^(https://[^\\s/]+(/api/v3)?|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)$", var.github_api_url))
    error_message = "github_api_url must be an https URL without a trailing slash; plain http is taken on loopback only."
  }
}

variable "github_ca_layer_arn" {
  type        = string
  default     = null
  description = "For a GitHub whose certificate is of a private authority: the ARN of a version of a Lambda layer with the file `ca.pem` at its top, which holds the authority's certificate."

  validation {
    condition     = var.github_ca_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:.+:[0-9]+$", var.github_ca_layer_arn))
    error_message = "github_ca_layer_arn must be the ARN of a version of a Lambda layer, or null."
  }
}

variable "github_points_per_minute" {
  type        = number
  default     = 900
  description = "How fast an installation may be called. GitHub's limit is 900 points a minute, of which a registration costs 5; 0 turns the pacing off."

  validation {
    condition     = var.github_points_per_minute >= 0
    error_message = "github_points_per_minute must be 0 or more."
  }
}

variable "runner_name_prefix" {
  type        = string
  default     = "jit"
  description = "What the names of this deployment's runners begin with. Two deployments that register with the same organisation need two prefixes: each cleans up what carries its own."

  validation {
    condition     = can(regex("^[a-z0-9]{1,12}$", var.runner_name_prefix))
    error_message = "runner_name_prefix must have 1 to 12 lower-case letters and digits."
  }
}

# --- The network of the runners ----------------------------------------------------------------------------------------

variable "vpc_id" {
  type        = string
  description = "The VPC of the runners. Their security group is made in it."

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC."
  }
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets of that VPC, 1 to 16, with a way to GitHub: public ones together with `assign_public_ip`, or private ones behind a NAT. Several availability zones make \"no capacity\" rarer."

  validation {
    condition     = length(var.subnet_ids) >= 1 && length(var.subnet_ids) <= 16
    error_message = "subnet_ids must name 1 to 16 subnets."
  }
}

variable "security_group_ids" {
  type        = list(string)
  default     = []
  description = "Security groups of the runners, 5 at most. Empty: one without any inbound rule is made."

  validation {
    condition     = length(var.security_group_ids) <= 5
    error_message = "security_group_ids must name 5 security groups at most."
  }
}

variable "assign_public_ip" {
  type        = bool
  default     = true
  description = "Whether a runner gets a public IP address. A public subnet needs it, a private one behind a NAT does not."
}

# --- Which jobs are taken, and what their runners are made of ----------------------------------------------------------

variable "runner_labels" {
  type        = list(string)
  default     = ["fargate"]
  description = "The labels of the one default class. A job is taken when each label of its runs-on is one of these."

  validation {
    condition     = length(var.runner_labels) >= 1 && length(var.runner_labels) <= 100 && alltrue([for label in var.runner_labels : can(regex("^[^\\s\",\\\\]([^\",\\\\]*[^\\s\",\\\\])?$", label))])
    error_message = "runner_labels must be 1 to 100 labels without commas, quotation marks, backslashes or spaces around."
  }
}

variable "runner_group_id" {
  type        = number
  default     = 1
  description = "The runner group that registrations join. 1 is GitHub's default group, and the only one of a repository."

  validation {
    condition     = var.runner_group_id >= 1
    error_message = "runner_group_id must be 1 or more."
  }
}

variable "runner_image" {
  type = string
  # GitHub refuses runners of an old version, and a runner made for one job does not update itself: raise this within 30
  # days of a release of actions/runner.
  default     = "ghcr.io/actions/actions-runner:2.338.0"
  description = "The runner's container image, with `./run.sh` of actions/runner in its working directory. Keep it current: GitHub turns away versions more than 30 days behind."

  validation {
    condition     = length(var.runner_image) > 0
    error_message = "runner_image must not be empty."
  }
}

variable "runner_image_repository_arn" {
  type        = string
  default     = null
  description = "The ARN of the ECR repository that `runner_image` comes from, so that it may be pulled. Null for a public image."

  validation {
    condition     = var.runner_image_repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", var.runner_image_repository_arn))
    error_message = "runner_image_repository_arn must be the ARN of an ECR repository, or null."
  }
}

variable "runner_architecture" {
  type        = string
  default     = "X86_64"
  description = "The processor of the runners, `X86_64` or `ARM64`. ARM64 costs a fifth less, but is not what most workflows expect."

  validation {
    condition     = contains(["X86_64", "ARM64"], var.runner_architecture)
    error_message = "runner_architecture must be X86_64 or ARM64."
  }
}

variable "runner_cpu" {
  type        = number
  default     = 1024
  description = "CPU units of a runner; 1024 are one vCPU. New accounts may run 6 vCPUs at once."

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.runner_cpu)
    error_message = "runner_cpu must be 256, 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "runner_memory" {
  type        = number
  default     = 4096
  description = "Memory of a runner in MiB. Fargate takes 2 to 8 GiB for each vCPU."

  validation {
    condition     = var.runner_memory >= 512 && var.runner_memory <= 122880
    error_message = "runner_memory must be 512 to 122880."
  }
}

variable "runner_storage" {
  type        = number
  default     = 20
  description = "Disk of a runner in GiB. 20 come with the task, more costs extra."

  validation {
    condition     = var.runner_storage >= 20 && var.runner_storage <= 200
    error_message = "runner_storage must be 20 to 200."
  }
}

variable "runner_capacity" {
  type        = list(string)
  default     = ["on-demand"]
  description = "What runners run on, in the order in which it is tried: `on-demand`, `spot` or both. Spot costs about 70 % less and may end a job at two minutes' notice."

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
    environment         = optional(map(string))
    tags                = optional(map(string))
    repositories        = optional(list(string))
    public_repositories = optional(bool)
    fork_pull_requests  = optional(bool)
    self_hosted         = optional(bool)
    compatible          = optional(list(string))
    ignored_labels      = optional(list(string))
    warm = optional(list(object({
      count     = number
      place     = optional(string)
      days      = optional(list(string))
      hours     = optional(string)
      time_zone = optional(string)
    })))
  }))
  default     = []
  description = "For more than one class: all of them, in place of the class made from the variables above, which serve as defaults here. Each gets a task definition of its own, unless it names one by `task_definition` (it must be called NAME-runner-… after `name`, and use the module's two runner roles); what the class sets of `cpu`, `memory` and `storage` then overrides what that one says. `architectures` makes one for each, of which `architecture` is the usual. `sizes`, in vCPU and GiB, and the keys after it are those of the README's tables of runner classes and of warm runners, whose `for` is `place` here."

  validation {
    condition     = length(distinct(var.runner_classes[*].name)) == length(var.runner_classes)
    error_message = "The names in runner_classes must be unique."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : can(regex("^[A-Za-z0-9_-]{1,24}$", class.name))])
    error_message = "A class's name must have 1 to 24 letters, digits, dashes and underscores."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : length(class.labels) >= 1 && length(class.labels) <= 100 && alltrue([for label in class.labels : can(regex("^[^\\s\",\\\\]([^\",\\\\]*[^\\s\",\\\\])?$", label))])])
    error_message = "A class must have 1 to 100 labels without commas, quotation marks, backslashes or spaces around."
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
    error_message = "A class's architectures must be X86_64, ARM64 or both, and its usual one among them."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.runner_group == null || class.runner_group_id == null])
    error_message = "A class must have either runner_group or runner_group_id."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : coalesce(class.idle_minutes, 10) >= 2 && coalesce(class.idle_minutes, 10) <= 1440 && coalesce(class.lifetime_minutes, 1) >= 1])
    error_message = "A class's idle_minutes must be 2 to 1440, its lifetime_minutes 1 or more."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : coalesce(class.storage, 20) >= 20 && coalesce(class.storage, 20) <= 200])
    error_message = "A class's storage must be 20 to 200."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || (class.image == null && class.architectures == null)])
    error_message = "A class that names its task_definition must set neither image nor architectures: they are what the task definition says."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || (class.cpu == null && class.memory == null) || contains(local.fargate_sizes, "${coalesce(class.cpu, 0)}/${coalesce(class.memory, 0)}")])
    error_message = "A class that names its task_definition may set cpu and memory, both or none, to a size that Fargate has: they override what the task definition says."
  }
  validation {
    condition     = alltrue([for class in var.runner_classes : class.task_definition == null || coalesce(class.storage, 21) > 20])
    error_message = "A class that names its task_definition may set a storage of 21 to 200, in place of what the task definition says; 20 cannot be asked for."
  }
}

variable "runner_classes_layer_arn" {
  type        = string
  default     = null
  description = "For more classes than fit a function's 4 KB of variables: the ARN of a layer's version that holds the output `runner_classes` as `runner-classes.json`. The functions read it from there."

  validation {
    condition     = var.runner_classes_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+$", var.runner_classes_layer_arn))
    error_message = "runner_classes_layer_arn must be the ARN of a version of a layer, or null."
  }
}

# --- Watching over it --------------------------------------------------------------------------------------------------

variable "monitoring" {
  type        = bool
  default     = true
  description = "Whether alarms, a dashboard and saved queries are made. Alarms beyond an account's first ten metrics cost $0.10 a month each, dashboards beyond the first three $3."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that hears when an alarm goes off and when it ends. Null: the alarms only show."

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic, or null."
  }
}
