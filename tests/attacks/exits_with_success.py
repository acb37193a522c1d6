# expect: status=broken score=0 says="SystemExit"
"""`sys.exit(0)` at import: a process that ends well has surely passed."""

import dataclasses

dataclasses.sys.exit(0)
