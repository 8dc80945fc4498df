# Alarms, the dashboard and saved queries. `runner_name_prefix` is the dimension that tells deployments apart in the
# metrics of the namespace `jitgate`: two deployments in one account and region that share a prefix add up in each
# other's alarms.

locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # The dimensions of our own metrics.
  ours = { for function in ["worker", "cleaner"] : function => { deployment = var.runner_name_prefix, function = function } }

  # `basic` marks the alarms without which jobs can be lost unnoticed. Those use AWS's own metrics, which cost nothing,
  # apart from JobsStarving, which is only written while jobs starve.
  usual_alarm = {
    basic      = false
    namespace  = "jitgate"
    statistic  = "Sum"
    percentile = null
    comparison = "GreaterThanThreshold"
    threshold  = 0
    period     = 300
    periods    = 1
    datapoints = null
    missing    = "notBreaching"
  }

  alarms = { for key, alarm in {
    dead-letters = {
      basic       = true
      description = "A job was given up. Its message in the dead-letter queue says why."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.dead_letter.name }
      statistic   = "Maximum"
    }
    jobs-wait = {
      basic       = true
      description = "A message is half an hour old. A deferred job gets a new message within 15 minutes, so the worker probably takes no messages."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.jobs.name }
      statistic   = "Maximum"
      threshold   = 1800
      periods     = 2
    }
    jobs-starve = {
      basic       = true
      description = "A job waits until something is mended, or because the runners of its class fail or GitHub gives them no jobs; or it has waited for more than half an hour for another reason: Fargate has no capacity, GitHub limits requests or is down, or the runner limit is reached. The query why-jobs-wait shows which."
      metric      = "JobsStarving"
      dimensions  = local.ours["worker"]
      # A waiting job is counted only every few minutes, when it is deferred again. One period with a job sets the alarm
      # off; three periods without one end it.
      periods    = 3
      datapoints = 1
    }
    github-budget-low = {
      description = "An installation has fewer than 500 of GitHub's hourly requests left. At 0, launches wait for the next hour."
      metric      = "GitHubBudgetRemaining"
      dimensions  = local.ours["worker"]
      statistic   = "Minimum"
      comparison  = "LessThanThreshold"
      threshold   = 500
    }
    slow-launches = {
      description = "One job in ten waits for more than five minutes until its task starts, for Fargate's capacity or GitHub's limits."
      metric      = "QueueToLaunch"
      dimensions  = local.ours["worker"]
      statistic   = null
      percentile  = "p90"
      threshold   = 300
      periods     = 3
    }
    cleaner-silent = {
      basic       = true
      description = "For 15 minutes, the cleaner's schedule has not called it. Check that the schedule is enabled."
      # Not Lambda's Invocations: stopped tasks invoke the cleaner, too, even if the schedule is off.
      namespace  = "AWS/Scheduler"
      metric     = "InvocationAttemptCount"
      dimensions = { ScheduleGroup = aws_scheduler_schedule_group.cleaner.name }
      comparison = "LessThanThreshold"
      threshold  = 1
      periods    = 3
      missing    = "breaching"
    }
    webhook-errors = {
      description = "The webhook failed or timed out. Its log shows why."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.webhook.function_name }
    }
    webhook-refuses = {
      basic       = true
      description = "The webhook answered deliveries with 5xx, because it cannot read the secret or write to the queue. Its log shows which. GitHub does not repeat a failed delivery by itself."
      namespace   = "AWS/Lambda"
      metric      = "Url5xxCount" # Errors does not count an answer of 503
      dimensions  = { FunctionName = aws_lambda_function.webhook.function_name }
    }
    worker-errors = {
      description = "The worker failed or timed out. Its log shows why."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.worker.function_name }
    }
    cleaner-errors = {
      basic       = true
      description = "For 15 minutes, the cleaner's passes have failed, at least in part. Its log shows why."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.cleaner.function_name }
      periods     = 3
    }
    webhook-throttles = {
      basic       = true
      description = "Lambda rejected deliveries because concurrency was exhausted. GitHub does not repeat a failed delivery by itself."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.webhook.function_name }
    }
    worker-throttles = {
      description = "For 15 minutes, Lambda has returned messages to the queue because concurrency was exhausted."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.worker.function_name }
      periods     = 3
    }
    launches-fail = {
      description = "Jobs wait until a permission, the secret or a role is mended, or because the runners of a class fail one after the other or get no jobs from GitHub. The worker's log shows which."
      metric      = "JobsDenied"
      dimensions  = local.ours["worker"]
    }
    runner-image-ends = {
      description = "GitHub will soon refuse this image's runner version. Use a newer image."
      metric      = "RunnerVersionsEnding"
      dimensions  = local.ours["cleaner"]
      period      = 3600
    }
    orphans-rise = {
      description = "The cleaner deleted more than 20 registrations within an hour. Find out why runners do not end by themselves."
      metric      = "RegistrationsDeleted"
      dimensions  = local.ours["cleaner"]
      threshold   = 20
      period      = 3600
    }
  } : key => merge(local.usual_alarm, alarm) }

  queries = {
    way-of-a-job = {
      groups = ["webhook", "worker", "cleaner"]
      query  = <<-EOT
        fields @timestamp, level, message, `runner.name`, `task.arn`, error
        | filter `job.id` = 1
        | sort @timestamp
      EOT
    }
    why-jobs-wait = {
      groups = ["worker"]
      query  = <<-EOT
        filter message in ["job deferred", "job given up", "nothing can be launched until this is mended"]
        | stats count(*) as times, max(@timestamp) as last by message, error
        | sort times desc
      EOT
    }
    failures = {
      groups = ["webhook", "worker", "cleaner"]
      query  = <<-EOT
        fields @timestamp, message, error, @log
        | filter level = "ERROR"
        | sort @timestamp desc
        | limit 100
      EOT
    }
    deliveries-turned-away = {
      groups = ["webhook"]
      query  = <<-EOT
        fields message, coalesce(reason, error) as why
        | filter message in ["delivery ignored", "job refused", "delivery malformed", "a delivery cannot be verified", "job not queued"]
        | stats count(*) as times by message, why
        | sort times desc
      EOT
    }
    what-was-cleaned = {
      groups = ["cleaner"]
      query  = <<-EOT
        fields @timestamp, message, reason, `runner.name`, `task.arn`
        | filter message in ["orphaned registration deleted", "task stopped", "job launched again", "delivered again"]
        | sort @timestamp desc
      EOT
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "watch" {
  for_each = { for key, alarm in local.alarms : key => alarm if var.monitoring == "full" || (var.monitoring == "basic" && alarm.basic) }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  extended_statistic  = each.value.percentile
  period              = each.value.period
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
}

resource "aws_cloudwatch_dashboard" "jitgate" {
  count = var.monitoring == "full" ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for widget in [
    {
      x = 0, y = 0, title = "Are jobs waiting?", stat = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.jobs.name, { label = "ready" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesDelayed", "QueueName", aws_sqs_queue.jobs.name, { label = "deferred" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", aws_sqs_queue.jobs.name, { label = "being launched" }],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.dead_letter.name, { label = "given up", color = "#d62728" }],
      ]
    },
    {
      x = 12, y = 0, title = "Why? (outcomes of launches)", stat = "Sum"
      metrics = [
        ["jitgate", "JobsLaunched", "deployment", var.runner_name_prefix, "function", "worker", { label = "launched" }],
        ["jitgate", "JobsDeferred", "deployment", var.runner_name_prefix, "function", "worker", { label = "deferred: no capacity, or GitHub's limits" }],
        ["jitgate", "JobsDenied", "deployment", var.runner_name_prefix, "function", "worker", { label = "denied: something must be mended, or a class fails" }],
        ["jitgate", "JobsGivenUp", "deployment", var.runner_name_prefix, "function", "worker", { label = "given up", color = "#d62728" }],
        ["jitgate", "JobsGivenUp", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "given up by the cleaner", color = "#ff9896" }],
        ["jitgate", "JobsExpired", "deployment", var.runner_name_prefix, "function", "worker", { label = "too old" }],
      ]
    },
    {
      x = 0, y = 6, title = "Seconds from delivery to task", stat = "p50"
      metrics = [
        ["jitgate", "QueueToLaunch", "deployment", var.runner_name_prefix, "function", "worker", { label = "median" }],
        ["jitgate", "QueueToLaunch", "deployment", var.runner_name_prefix, "function", "worker", { label = "90th percentile", stat = "p90" }],
        ["jitgate", "JobWaited", "deployment", var.runner_name_prefix, "function", "worker", { label = "longest wait without a task", stat = "Maximum", color = "#d62728" }],
      ]
    },
    {
      x = 12, y = 6, title = "GitHub requests left in this hour", stat = "Minimum"
      metrics = [
        ["jitgate", "GitHubBudgetRemaining", "deployment", var.runner_name_prefix, "function", "worker", { label = "seen by the worker" }],
        ["jitgate", "GitHubBudgetRemaining", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "seen by the cleaner" }],
      ]
    },
    {
      x = 0, y = 12, title = "What the cleaner repaired", stat = "Sum"
      metrics = [
        ["jitgate", "RegistrationsDeleted", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "registrations deleted" }],
        ["jitgate", "TasksStopped", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "tasks stopped" }],
        ["jitgate", "JobsRelaunched", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "jobs launched again" }],
        ["jitgate", "DeliveriesRepeated", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "deliveries repeated" }],
        ["jitgate", "StepsFailed", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "steps that failed", color = "#d62728" }],
      ]
    },
    {
      x = 12, y = 12, title = "Functions that failed or could not start", stat = "Sum"
      metrics = [
        ["AWS/Lambda", "Errors", "FunctionName", aws_lambda_function.webhook.function_name, { label = "webhook failed" }],
        ["AWS/Lambda", "Errors", "FunctionName", aws_lambda_function.worker.function_name, { label = "worker failed" }],
        ["AWS/Lambda", "Errors", "FunctionName", aws_lambda_function.cleaner.function_name, { label = "cleaner failed" }],
        ["AWS/Lambda", "Throttles", "FunctionName", aws_lambda_function.webhook.function_name, { label = "webhook throttled" }],
        ["AWS/Lambda", "Throttles", "FunctionName", aws_lambda_function.worker.function_name, { label = "worker throttled" }],
      ]
    },
    {
      x = 0, y = 18, title = "Seconds of a task's start (median)", stat = "p50"
      metrics = [
        ["jitgate", "StartWait", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "until the pull" }],
        ["jitgate", "StartWait", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "until the pull, 90th percentile", stat = "p90" }],
        ["jitgate", "ImagePull", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "pull of the image" }],
        ["jitgate", "ImagePull", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "pull of the image, 90th percentile", stat = "p90" }],
        ["jitgate", "StartRest", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "until it runs" }],
        ["jitgate", "StartRest", "deployment", var.runner_name_prefix, "function", "cleaner", { label = "until it runs, 90th percentile", stat = "p90" }],
      ]
    },
    ] : {
    type       = "metric", width = 12, height = 6, x = widget.x, y = widget.y
    properties = { title = widget.title, region = local.region, period = 300, stat = widget.stat, metrics = widget.metrics }
  }] })
}

resource "aws_cloudwatch_query_definition" "saved" {
  for_each = { for key, query in local.queries : key => query if var.monitoring != "off" }

  name            = "${var.name}/${each.key}"
  log_group_names = [for group in each.value.groups : aws_cloudwatch_log_group.functions[group].name]
  query_string    = each.value.query
}
