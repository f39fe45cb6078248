from apps.accounts.management.commands import run_mailer
from apps.core.renamed_command import renamed

Command = renamed(run_mailer.Command, old="tend_accounts", new="run_mailer")
