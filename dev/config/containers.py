"""Secrets for docker/*.yml, in files that the containers mount: those of a profile and the servers' passwords."""

from pathlib import Path

from dev.base import secrets
from dev.base.profile import PORTS, ROOT, Profile, write_atomically
from dev.servers import rabbitmq

FILES = (
    ROOT / "docker" / "docker-compose.infrastructure.yml",
    ROOT / "docker" / "docker-compose.microservices.yml",
)
# The user in the container has another uid than the owner of the file. The folder above is closed to other users.
READABLE = 0o644


def create() -> Path:
    """Creates the secrets that are missing and returns their folder. Existing ones are kept."""
    profile = Profile(name="docker", ports=PORTS)
    secrets.create(profile)
    secrets.create_key_pairs(profile)
    for name, text in _server_files(profile).items():
        write_atomically(profile.secrets / name, text)
    for path in profile.secrets.rglob("*"):
        path.chmod(0o755 if path.is_dir() else READABLE)
    profile.secrets.chmod(0o700)
    # Where the paper exchange looks for a market to replay, unless MUCKARD_MARKET_FOLDER names another folder
    (profile.folder / "market").mkdir(exist_ok=True)
    return profile.secrets


def _server_files(profile: Profile) -> dict[str, str]:
    """The addresses inside the containers' network, and what the servers' images read their passwords from."""
    password = {
        name: secrets.read(profile, "servers", f"{name}_password") for name in ("postgres", "rabbitmq", "redis")
    }
    return {
        "common/rabbitmq_url": f"amqp://muckard:{password['rabbitmq']}@rabbitmq:5672/muckard",
        "common/redis_url": f"redis://:{password['redis']}@redis:6379/0",
        "owner/muckard_rabbitmq_management_url": f"http://muckard:{password['rabbitmq']}@rabbitmq:15672",
        "owner/database_url": f"postgresql://muckard:{password['postgres']}@postgres:5432/muckard",
        "servers/rabbitmq.conf": (
            f"default_user = muckard\ndefault_pass = {password['rabbitmq']}\ndefault_vhost = muckard\n"
            f"loopback_users = none\n{rabbitmq.LIMITS}"
        ),
        "servers/redis.conf": (
            f'requirepass {password["redis"]}\nsave ""\nappendonly no\nmaxmemory 128mb\nmaxmemory-policy allkeys-lru\n'
        ),
    }
