"""What Stash starts for each call of the plugin's page: one JSON on stdin, one JSON on stdout, log lines on stderr.

Standard library only, whatever Python Stash has from 3.9 on. What is done is in the modules beside this file: this one
stays small because the interpreter compiles it anew at each start, while modules are kept compiled.
"""

import sys

if __name__ == "__main__":
    from stash_sense_proxy.process import main

    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
