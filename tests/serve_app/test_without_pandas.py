"""Ray Serve without pandas; everybody else with it."""

import subprocess
import sys

from ray._private import ray_constants

from serve_app.without_pandas import WORKER_HOOK_VARIABLE

CHECK = """
import sys
from serve_app.without_pandas import install
install()
install()
import ray.serve
from ray.serve._private import controller, proxy, replica
assert "pandas" not in sys.modules, "Ray Serve imports pandas somewhere else now"
assert len([f for f in sys.meta_path if type(f).__name__ == "_NotForServe"]) == 1
import pandas
print(pandas.DataFrame({"n": [3]}).n.sum())
"""


def test_serve_comes_without_pandas_which_is_there_for_others():
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"


def test_the_hook_of_the_workers_has_the_name_that_ray_reads():
    assert WORKER_HOOK_VARIABLE == ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR
