from apps.core.renamed_command import renamed
from apps.ops.management.commands import smoke_test

Command = renamed(smoke_test.Command, old="walk", new="smoke_test")
