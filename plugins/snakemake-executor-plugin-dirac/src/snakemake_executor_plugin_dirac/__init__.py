"""Snakemake executor plug-in: runs the jobs of a workflow on the grid through DIRAC (DiracX)."""

from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_dirac.executor import Executor
from snakemake_executor_plugin_dirac.settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    # Values of variables would show on the worker's command line: secrets stay where they are.
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
    pass_group_args=True,
    # The sources travel in the input sandbox, not through the storage provider.
    can_transfer_local_files=True,
)
