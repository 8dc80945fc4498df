# What GitHub knows us by: the App's id and key, and the webhook secret. CloudFormation makes it, as it makes the
# template's: with a webhook secret nobody has to think of, made once, that never lies in Terraform's state. You fill in
# the rest, and neither Terraform nor CloudFormation touches the value again.
resource "aws_cloudformation_stack" "github_secret" {
  name = "${var.name}-github-secret"

  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "GitHub secret of ${var.name}: made by the jitgate Terraform module"
    Resources = {
      Secret = {
        Type = "AWS::SecretsManager::Secret"
        # Goes with the deployment: GitHub issues another key at any time, and one left behind is one that is forgotten.
        DeletionPolicy      = "Delete"
        UpdateReplacePolicy = "Retain"
        Properties = {
          Description = "GitHub App of ${var.name}: app_id, private_key, webhook_secret"
          # Any change below would make the value anew and lose what was filled in.
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
