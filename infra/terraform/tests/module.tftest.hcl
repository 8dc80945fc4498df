# How the module's resources follow from its variables. The provider is mocked, so nothing calls AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:mock" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-west-1:123456789012:mock", url = "https://sqs.eu-west-1.amazonaws.com/123456789012/mock" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/mock:1" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:123456789012:rule/mock" }
  }
  mock_resource "aws_cloudformation_stack" {
    defaults = { outputs = { Url = "https://mock.lambda-url.eu-west-1.on.aws/", Arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mock", TaskDefinition = "arn:aws:ecs:eu-west-1:123456789012:task-definition/jitgate-runner-docker:1" } }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0123" }
  }
}

variables {
  functions_s3 = { bucket = "releases", prefix = "v1/" }
  vpc_id       = "vpc-0123"
  subnet_ids   = ["subnet-1", "subnet-2"]
}

run "without_classes_the_variables_describe_one" {
  assert {
    condition = jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES) == [{
      name             = "default"
      labels           = ["fargate"]
      runner_group_id  = 1
      task_definition  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/mock:1"
      architecture     = "x86_64"
      container        = "runner"
      subnets          = ["subnet-1", "subnet-2"]
      security_groups  = ["sg-0123"]
      assign_public_ip = true
      capacity         = ["on-demand"]
    }]
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
  assert {
    condition     = aws_ecs_task_definition.runner["default"].family == "jitgate-runner"
    error_message = "The default class's task definition is not named as the template's."
  }
  assert {
    condition     = aws_lambda_function.webhook.s3_key == "v1/webhook-x86_64.zip"
    error_message = "The webhook's code comes from ${aws_lambda_function.webhook.s3_key}"
  }
  assert {
    condition     = output.webhook_url == "https://mock.lambda-url.eu-west-1.on.aws/"
    error_message = "The webhook's URL is ${output.webhook_url}"
  }
}

run "each_class_has_a_task_definition_or_names_one" {
  variables {
    runner_memory = 8192
    runner_classes = [
      { name = "small", labels = ["small"], capacity = ["spot", "on-demand"], fallback = ["arm"] },
      { name = "arm", labels = ["arm"], architecture = "ARM64", cpu = 2048, storage = 50, idle_minutes = 5 },
      { name = "own", labels = ["own"], task_definition = "jitgate-runner-own", container = "main", lifetime_minutes = 60 },
    ]
  }
  assert {
    condition     = join(",", [for definition in aws_ecs_task_definition.runner : definition.family]) == "jitgate-runner-arm,jitgate-runner-small"
    error_message = "The task definitions are not those of the two classes that name none."
  }
  assert {
    condition     = aws_ecs_task_definition.runner["arm"].cpu == "2048" && aws_ecs_task_definition.runner["arm"].memory == "8192" && aws_ecs_task_definition.runner["arm"].runtime_platform[0].cpu_architecture == "ARM64" && aws_ecs_task_definition.runner["arm"].ephemeral_storage[0].size_in_gib == 50
    error_message = "A class's value does not reach its task definition, or a value that it leaves out does not come from the variable."
  }
  assert {
    condition = [for class in jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES) : [
      class.name, class.container, class.capacity, lookup(class, "idle_minutes", 0), lookup(class, "lifetime_minutes", 0), lookup(class, "fallback", [])
      ]] == [
      ["small", "runner", ["spot", "on-demand"], 0, 0, ["arm"]],
      ["arm", "runner", ["on-demand"], 5, 0, []],
      ["own", "main", ["on-demand"], 0, 60, []],
    ]
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
}

run "docker_adds_a_class_on_instances_and_changes_nothing_else" {
  variables {
    docker_capacity   = "managed-instances"
    docker_image      = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/runner-docker:1"
    docker_subnet_ids = ["subnet-private"]
    docker_purchase   = "spot"
  }
  assert {
    condition = jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES)[1] == {
      name             = "docker"
      labels           = ["docker"]
      runner_group_id  = 1
      task_definition  = "jitgate-runner-docker"
      architecture     = "x86_64"
      container        = "runner"
      subnets          = ["subnet-private"]
      security_groups  = ["sg-0123"]
      assign_public_ip = false
      capacity         = [{ provider = "docker-jitgate" }]
      start_minutes    = 30
    }
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
  assert {
    condition     = join(",", jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES)[*].name) == "default,docker" && join(",", keys(aws_ecs_task_definition.runner)) == "default"
    error_message = "The default class is not as without Docker."
  }
  assert {
    condition     = jsondecode(aws_cloudformation_stack.docker[0].template_body).Resources.Provider.Properties.ManagedInstancesProvider.InstanceLaunchTemplate.CapacityOptionType == "SPOT"
    error_message = "The stack is ${aws_cloudformation_stack.docker[0].template_body}"
  }
  assert {
    condition     = jsondecode(aws_cloudformation_stack.docker[0].template_body).Resources.TaskDefinition.Properties.ContainerDefinitions[0].Privileged
    error_message = "Docker needs a privileged container."
  }
}

run "without_docker_there_is_nothing_of_it" {
  assert {
    condition     = length(aws_cloudformation_stack.docker) == 0 && length(aws_iam_role.docker_instance) == 0 && length(aws_iam_role.docker_infrastructure) == 0 && length(aws_iam_instance_profile.docker) == 0
    error_message = "Something of Docker is made without being asked for."
  }
}

run "docker_needs_an_image_and_private_subnets" {
  command = plan
  variables {
    docker_capacity = "managed-instances"
  }
  expect_failures = [aws_cloudformation_stack.docker]
}

run "a_class_may_run_on_a_provider_of_ones_own" {
  variables {
    runner_classes = [
      { name = "big", labels = ["big"], task_definition = "jitgate-runner-big", capacity_provider = "mine", cpu = 3072, memory = 5120 },
      { name = "both", labels = ["both"], task_definition = "jitgate-runner-both", capacity = ["spot"], capacity_provider = "mine" },
    ]
  }
  assert {
    condition     = jsonencode([for class in jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES) : [class.capacity, lookup(class, "cpu", 0)]]) == jsonencode([[[{ provider = "mine" }], 3], [["spot", { provider = "mine" }], 0]])
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
}

run "a_class_may_have_a_role_that_is_allowed" {
  variables {
    allowed_role_arns = ["arn:aws:iam::123456789012:role/jobs"]
    runner_classes    = [{ name = "aws", labels = ["aws"], task_role = "arn:aws:iam::123456789012:role/jobs" }]
  }
  assert {
    condition     = jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES)[0].task_role == "arn:aws:iam::123456789012:role/jobs"
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
}

run "a_role_that_is_not_allowed_is_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "aws", labels = ["aws"], task_role = "arn:aws:iam::123456789012:role/jobs" }]
  }
  expect_failures = [var.allowed_role_arns]
}

run "a_provider_needs_a_task_definition_of_its_own" {
  command = plan
  variables {
    runner_classes = [{ name = "big", labels = ["big"], capacity_provider = "mine" }]
  }
  expect_failures = [var.runner_classes]
}

run "a_size_that_fargate_does_not_have_is_refused" {
  command = plan
  variables {
    runner_cpu    = 256
    runner_memory = 4096
  }
  expect_failures = [aws_ecs_task_definition.runner]
}

run "a_class_can_let_jobs_choose_and_have_two_architectures" {
  variables {
    runner_cpu = 2048
    runner_classes = [{
      name          = "sized"
      labels        = ["sized"]
      runner_group  = "Large"
      architectures = ["X86_64", "ARM64"]
      memory        = 5120
      sizes         = { cpu = 8, spot = true }
      max_runners   = 10
      environment   = { HTTPS_PROXY = "http://proxy.example" }
      tags          = { team = "build" }
      repositories  = ["octo-org/*"]
      self_hosted   = true
      compatible    = ["runs-on"]
      translate = [
        { label = "big-*", means = ["cpu=8"], drops = "the rest" },
        { label = "gpu*", says = "refused: no GPU" },
      ]
      warm = [{ count = 2, place = "octo-org", hours = "08-18" }]
    }]
  }
  assert {
    condition     = join(",", sort([for definition in aws_ecs_task_definition.runner : "${definition.family} ${definition.runtime_platform[0].cpu_architecture}"])) == "jitgate-runner-sized X86_64,jitgate-runner-sized-arm64 ARM64"
    error_message = "There is not one task definition for each architecture."
  }
  assert {
    condition = jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES) == [{
      name         = "sized"
      labels       = ["sized"]
      runner_group = "Large"
      task_definition = {
        x86_64 = "arn:aws:ecs:eu-west-1:123456789012:task-definition/mock:1"
        arm64  = "arn:aws:ecs:eu-west-1:123456789012:task-definition/mock:1"
      }
      architecture     = "x86_64"
      container        = "runner"
      subnets          = ["subnet-1", "subnet-2"]
      security_groups  = ["sg-0123"]
      assign_public_ip = true
      capacity         = ["on-demand"]
      cpu              = 2
      memory           = 5
      sizes            = { cpu = 8, spot = true }
      max_runners      = 10
      environment      = { HTTPS_PROXY = "http://proxy.example" }
      tags             = { team = "build" }
      repositories     = ["octo-org/*"]
      self_hosted      = true
      compatible       = ["runs-on"]
      translate = [
        { label = "big-*", means = ["cpu=8"], drops = "the rest" },
        { label = "gpu*", means = "refused: no GPU" },
      ]
      warm = [{ count = 2, "for" = "octo-org", hours = "08-18" }]
    }]
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
}

run "a_class_s_sizes_override_the_task_definition_that_it_names" {
  variables {
    runner_classes = [
      { name = "own", labels = ["own"], task_definition = "jitgate-runner-own", cpu = 512, memory = 2048, storage = 50 },
      { name = "asis", labels = ["asis"], task_definition = "jitgate-runner-own", sizes = { cpu = 4 } },
    ]
  }
  assert {
    condition = [for class in jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES) : [
      class.task_definition, lookup(class, "cpu", null), lookup(class, "memory", null), lookup(class, "disk", null)
      ]] == [
      ["jitgate-runner-own", 0.5, 2, 50],
      ["jitgate-runner-own", null, null, null],
    ]
    error_message = "RUNNER_CLASSES is ${aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES}"
  }
}

run "an_image_beside_a_named_task_definition_is_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "own", labels = ["own"], task_definition = "jitgate-runner-own", image = "runner:1" }]
  }
  expect_failures = [var.runner_classes]
}

run "architectures_beside_a_named_task_definition_are_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "own", labels = ["own"], task_definition = "jitgate-runner-own", architectures = ["X86_64", "ARM64"] }]
  }
  expect_failures = [var.runner_classes]
}

run "half_a_size_beside_a_named_task_definition_is_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "own", labels = ["own"], task_definition = "jitgate-runner-own", cpu = 512 }]
  }
  expect_failures = [var.runner_classes]
}

run "the_smallest_disk_beside_a_named_task_definition_is_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "own", labels = ["own"], task_definition = "jitgate-runner-own", storage = 20 }]
  }
  expect_failures = [var.runner_classes]
}

run "architectures_without_the_class_s_own_are_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "a", labels = ["a"], architectures = ["ARM64"] }]
  }
  expect_failures = [var.runner_classes]
}

run "classes_too_long_for_a_variable_are_refused" {
  variables {
    runner_classes = [for number in range(20) : { name = "class-${number}", labels = ["label-${number}"] }]
  }
  expect_failures = [aws_lambda_function.webhook]
}

run "a_layer_holds_classes_too_long_for_a_variable" {
  variables {
    runner_classes           = [for number in range(20) : { name = "class-${number}", labels = ["label-${number}"] }]
    runner_classes_layer_arn = "arn:aws:lambda:eu-west-1:123456789012:layer:runner-classes:1"
  }
  assert {
    condition = alltrue([for function in [aws_lambda_function.webhook, aws_lambda_function.worker, aws_lambda_function.cleaner] :
      function.environment[0].variables.RUNNER_CLASSES == "file:/opt/runner-classes.json" && function.layers == tolist(["arn:aws:lambda:eu-west-1:123456789012:layer:runner-classes:1"])
    ])
    error_message = "The functions do not read the layer's file."
  }
  assert {
    condition     = length(jsondecode(output.runner_classes)) == 20
    error_message = "The output's classes are not the variable's."
  }
}

run "an_unknown_fallback_is_refused" {
  command = plan
  variables {
    runner_classes = [{ name = "a", labels = ["a"], fallback = ["b"] }]
  }
  expect_failures = [var.runner_classes]
}

run "invalid_labels_are_refused" {
  command = plan
  variables {
    runner_labels = ["fargate,linux"]
  }
  expect_failures = [var.runner_labels]
}

run "two_sources_of_code_are_refused" {
  command = plan
  variables {
    functions_path = "release"
  }
  expect_failures = [var.functions_s3]
}

run "a_long_name_is_refused" {
  command = plan
  variables {
    name = "jitgate-of-the-whole-company"
  }
  expect_failures = [var.name]
}

run "given_security_groups_replace_the_created_one" {
  variables {
    security_group_ids  = ["sg-1", "sg-2"]
    webhook_concurrency = 20
    monitoring          = "off"
  }
  assert {
    condition     = length(aws_security_group.runners) == 0 && jsondecode(aws_lambda_function.worker.environment[0].variables.RUNNER_CLASSES)[0].security_groups == ["sg-1", "sg-2"]
    error_message = "The runners are not in the given security groups."
  }
  assert {
    condition     = aws_lambda_function.webhook.reserved_concurrent_executions == 20
    error_message = "The webhook's concurrency is not reserved."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.watch) == 0 && length(aws_cloudwatch_dashboard.jitgate) == 0 && length(aws_cloudwatch_query_definition.saved) == 0
    error_message = "Monitoring is off, but an alarm, a dashboard or a query exists."
  }
}

run "basic_monitoring_has_the_alarms_that_tell_of_lost_jobs" {
  assert {
    condition     = join(" ", keys(aws_cloudwatch_metric_alarm.watch)) == "cleaner-errors cleaner-silent dead-letters jobs-starve jobs-wait webhook-refuses webhook-throttles"
    error_message = "These are not the basic alarms."
  }
  assert {
    condition     = length(aws_cloudwatch_dashboard.jitgate) == 0 && length(aws_cloudwatch_query_definition.saved) == 5
    error_message = "Basic monitoring has the saved queries and no dashboard."
  }
}

run "full_monitoring_has_every_alarm_and_the_dashboard" {
  variables {
    monitoring = "full"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.watch) == 15 && length(aws_cloudwatch_dashboard.jitgate) == 1 && length(aws_cloudwatch_query_definition.saved) == 5
    error_message = "Full monitoring lacks an alarm, the dashboard or a query."
  }
}

run "another_level_of_monitoring_is_refused" {
  command = plan
  variables {
    monitoring = "true"
  }
  expect_failures = [var.monitoring]
}
