"""Deploys the Terraform module as its users do: `init`, `apply`, `plan` and `destroy` with the real provider.

Terraform and its AWS provider cannot be installed from a package index. If one is missing, the checks that need it are
left out with a warning; with `TERRAFORM=required`, that is a failure.
"""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import quirks
from checkout import LOCAL, MODULE
from deployment import STACK, Deployment, archive
from emulator import REGION, ROOT_KEY, Emulator
from processes import run
from terminal import Problem, heading, paint, say

PROVIDER = "*/hashicorp/aws"
"""The provider's folder in a filesystem mirror, below the registry's name."""

MIRRORS = [Path("~/.terraform.d/plugins"), Path("/usr/share/terraform/plugins"), *Path("/opt").glob("*/")]
"""Where a machine without access to Terraform's registry may have a filesystem mirror of providers."""

ROOT_MODULE = """\
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  s3_use_path_style = true
}

variable "settings" {
  type = any
}

module "jitgate" {
  source = "./jitgate"

  name                  = var.settings.name
  functions_path        = var.settings.functions_path
  function_architecture = var.settings.function_architecture
  vpc_id                = var.settings.vpc_id
  subnet_ids            = var.settings.subnet_ids
  runner_labels         = var.settings.runner_labels
  github_api_url        = var.settings.github_api_url
  monitoring            = var.settings.monitoring
  docker_capacity       = var.settings.docker_capacity
  docker_image          = var.settings.docker_image
  docker_subnet_ids     = var.settings.docker_subnet_ids
}

output "jitgate" {
  value = module.jitgate
}
"""
"""The root module of each deployment, much as a user would write it."""

SETTINGS = "terraform.tfvars.json"
"""The file with the root module's variables."""


@dataclass(frozen=True)
class Terraform:
    """Terraform with its provider."""

    program: str
    environment: dict[str, str]

    def __call__(self, folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Runs a subcommand in a folder."""
        environment = {**self.environment, **options.pop("env", {})}
        return run([self.program, f"-chdir={folder}", *arguments], env=environment, **options)

    def must(self, folder: Path, *arguments: str, **options: Any) -> bytes:
        """Runs a subcommand that must succeed, and returns its output."""
        done = self(folder, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        if done.returncode != 0:
            raise Problem(f"terraform {arguments[0]} failed:\n{done.stdout.decode()}")
        return done.stdout


def find() -> Terraform | None:
    """Finds Terraform and its provider. If one is missing, shows what is left out and returns nothing."""
    wish = os.environ.get("TERRAFORM", "auto")
    mirror = _mirror()
    program = shutil.which("terraform")
    if wish == "skip":
        return _without("TERRAFORM=skip is set")
    if program is None:
        # A CI machine that has the provider is meant to have Terraform, too.
        if wish == "required" or (os.environ.get("CI") == "true" and mirror is not None):
            raise Problem("terraform is not installed. Install 1.9 or newer.")
        return _without("terraform is not installed")
    home = LOCAL / "terraform"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "terraform.rc"
    settings.write_text(_settings(mirror, home))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))},
        "TF_CLI_CONFIG_FILE": str(settings),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    terraform = Terraform(program, environment)
    probe = home / "module"
    copy_module(probe)
    done = terraform(
        probe, "init", "-backend=false", "-input=false", "-no-color", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        if wish == "required" or "AWS_PROVIDER" in os.environ:
            raise Problem(f"Terraform could not be set up:\n{done.stdout.decode()}")
        return _without("Terraform's AWS provider cannot be downloaded")
    return terraform


def check(terraform: Terraform) -> None:
    """Checks format and validity of the module and its examples, and runs the module's tests."""
    heading("terraform fmt, validate and test")
    folder = LOCAL / "terraform" / "module"
    copy_module(folder)
    if terraform(MODULE, "fmt", "-check", "-recursive", "-diff").returncode != 0:
        raise Problem("The Terraform files are not formatted. Run `terraform fmt -recursive infra/terraform`.")
    for part in [folder, *sorted((folder / "examples").iterdir())]:
        terraform.must(part, "init", "-backend=false", "-input=false", "-no-color")
        terraform.must(part, "validate", "-no-color")
        say(f"  {paint('✓', 'green')} {part.relative_to(folder.parent)} is valid")
    if terraform(folder, "test", "-no-color").returncode != 0:
        raise Problem("terraform test failed; see above.")


def copy_module(folder: Path) -> None:
    """Copies the module, so that Terraform writes no providers and state into the checkout. `AWS_PROVIDER` sets the
    provider's version."""
    data = folder / ".terraform"
    for entry in folder.iterdir() if folder.exists() else []:
        if entry != data:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(MODULE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    version = os.environ.get("AWS_PROVIDER")
    if version:
        wanted = f'{{ source = "hashicorp/aws", version = {json.dumps(version)} }}'
        override = f"terraform {{\n  required_providers {{\n    aws = {wanted}\n  }}\n}}\n"
        for part in (folder, *(folder / "examples").iterdir()):
            (part / "provider_override.tf").write_text(override)


@dataclass(frozen=True)
class Applied:
    """A deployment made by Terraform, with what `plan` and `destroy` need."""

    terraform: Terraform
    folder: Path
    environment: dict[str, str]

    def plan(self) -> list[dict[str, Any]]:
        """The changes that Terraform plans: the resources' addresses, and their values before and after."""
        self.terraform.must(self.folder, "plan", "-input=false", "-no-color", "-out=plan", env=self.environment)
        shown = self.terraform(self.folder, "show", "-json", "plan", env=self.environment, stdout=subprocess.PIPE)
        changes = json.loads(shown.stdout).get("resource_changes", [])
        return [
            {"address": change["address"], **change["change"]}
            for change in changes
            if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]
        ]

    def monitor(self, level: str) -> None:
        """Applies another level of monitoring."""
        file = self.folder / SETTINGS
        values = json.loads(file.read_text())
        values["settings"]["monitoring"] = level
        file.write_text(json.dumps(values))
        self.terraform.must(self.folder, "apply", "-auto-approve", "-input=false", "-no-color", env=self.environment)

    def state(self) -> str:
        """Terraform's state file."""
        return (self.folder / "terraform.tfstate").read_text()

    def destroy(self) -> None:
        """Removes everything."""
        self.terraform.must(self.folder, "destroy", "-auto-approve", "-input=false", "-no-color", env=self.environment)


def apply(
    terraform: Terraform, aws: Emulator, binaries: dict[str, Path], parameters: dict[str, str], scratch: Path
) -> tuple[Deployment, Applied]:
    """Deploys with the module what `deployment.deploy` deploys with the template, with the same parameters."""
    folder = scratch / "terraform"
    folder.mkdir()
    zips = folder / "release"
    zips.mkdir()
    for name in ("webhook", "worker", "cleaner"):
        (zips / f"{name}-{parameters['FunctionArchitecture']}.zip").write_bytes(archive(binaries[name]))
    copy_module(folder / "jitgate")
    (folder / "jitgate" / "quirks_override.tf").write_text(quirks.TERRAFORM_OVERRIDE)
    (folder / "main.tf").write_text(ROOT_MODULE)
    settings = {
        "name": STACK,
        "functions_path": str(zips),
        "function_architecture": parameters["FunctionArchitecture"],
        "vpc_id": parameters["VpcId"],
        "subnet_ids": parameters["SubnetIds"].split(","),
        "runner_labels": parameters["RunnerLabels"].split(","),
        "github_api_url": parameters["GitHubApiUrl"],
        "monitoring": "basic",
        "docker_capacity": parameters["DockerCapacity"],
        "docker_image": parameters["DockerImage"],
        "docker_subnet_ids": parameters["DockerSubnetIds"].split(","),
    }
    (folder / SETTINGS).write_text(json.dumps({"settings": settings}))
    environment = {"AWS_ENDPOINT_URL": aws.url, "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", **ROOT_KEY}
    terraform.must(folder, "init", "-input=false", "-no-color")
    terraform.must(folder, "apply", "-auto-approve", "-input=false", "-no-color", env=environment)
    shown = terraform(folder, "output", "-json", "jitgate", env=environment, stdout=subprocess.PIPE)
    outputs = json.loads(shown.stdout)
    deployed = Deployment(
        webhook_url=aws.function_url(outputs["webhook_url"]),
        secret_arn=outputs["github_secret_arn"],
        cluster=outputs["cluster_name"],
        task_definition=outputs["task_definition_arns"]["default"],
        job_queue_url=outputs["job_queue_url"],
        dead_letter_queue_url=outputs["dead_letter_queue_url"],
        cleaner=outputs["cleaner_function_name"],
    )
    return deployed, Applied(terraform, folder, environment)


def default_architecture() -> str:
    """The processor for which this machine builds."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def _mirror() -> Path | None:
    for folder in map(Path.expanduser, MIRRORS):
        if any(folder.glob(PROVIDER)):
            return folder
    return None


def _settings(mirror: Path | None, home: Path) -> str:
    cache = home / "providers"
    cache.mkdir(exist_ok=True)
    if mirror is None:
        return f"plugin_cache_dir = {json.dumps(str(cache))}\n"
    return f"provider_installation {{\n  filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n  }}\n}}\n"


def _without(reason: str) -> None:
    mark = paint("! LEFT OUT", "yellow")
    say(f"\n{mark}: {reason}, so infra/terraform is not validated, tested or applied.")
