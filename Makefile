STACK = python3 dev/stack.py
.PHONY: servers servers-test stop

servers:
	@$(STACK) servers

servers-test:
	@$(STACK) servers --profile test

stop:
	@$(STACK) stop
