"""Run Python samples as scripts and print the output of each as a line of JSON."""

import json
import runpy
import sys
from contextlib import redirect_stdout
from io import StringIO

for path in sys.argv[1:]:
    with redirect_stdout(StringIO()) as printed:
        runpy.run_path(path, run_name="__main__")
    print(json.dumps(printed.getvalue()))
