# The credentials for GitHub: the App's id and key, and the webhook secret. CloudFormation generates the webhook secret,
# as it does for the template, so that it never gets into Terraform's state. You fill in the rest. Neither Terraform nor
# CloudFormation changes the value again.
resource "aws_cloudformation_stack" "github_secret" {
  name = "${var.name}-github-secret"

  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "GitHub secret of ${var.name}: made by the jitgate Terraform module"
    Resources = {
      Secret = {
        Type = "AWS::SecretsManager::Secret"
        # Deleted with the deployment: GitHub issues another key at any time, and a secret left behind would be
        # forgotten.
        DeletionPolicy      = "Delete"
        UpdateReplacePolicy = "Retain"
        Properties = {
          Description = "GitHub App of ${var.name}: app_id, private_key, webhook_secret"
          # Any change below would generate the value again and lose what you filled in.
          GenerateSecretString = {
            SecretStringTemplate = "{\"app_id\":\"\",\"private_key\":\"\"}"
            GenerateStringKey    = "webhook_secret"
            PasswordLength       = 64
            ExcludePunctuation   = true
          }
        }
      }
    }
    Outputs = { Arn = { Value = { "Fn::GetAtt" = ["Secret", "Id"] } } }
  })
}

locals {
  github_secret_arn = aws_cloudformation_stack.github_secret.outputs["Arn"]
}
