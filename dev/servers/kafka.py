"""Apache Kafka of a profile: KRaft, one node that is broker and controller, jars from Maven Central."""

import base64
import os
import shutil
import signal
import uuid
from pathlib import Path

from dev.base import commands, processes
from dev.base.errors import StackError
from dev.base.profile import Profile, write_atomically
from dev.servers import java
from dev.servers.kafka_jars import jars
from dev.servers.server import Launch, Server

NEEDED_MIB = 1024
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
HEAP = ("-Xms256m", "-Xmx512m")
QUIET = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")

CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=16777216
"""


def folder(profile: Profile) -> Path:
    return profile.folder / "kafka"


def prepare(profile: Profile) -> None:
    """Formats the storage aside and puts it in place whole; the configuration is written at every start."""
    data = folder(profile) / "data"
    write_atomically(folder(profile) / "server.properties", _configuration(profile, data))
    if (data / "meta.properties").is_file():
        return
    fresh = folder(profile) / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    formatting = folder(profile) / "format.properties"
    write_atomically(formatting, _configuration(profile, fresh))
    log = profile.log("kafka-format")
    log.unlink(missing_ok=True)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
    command = [*java_command(), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(formatting)]
    given = processes.setup_environment(profile, _ENVIRONMENT)
    if commands.run_logged(command, log, environment=given, folder=folder(profile)):
        raise StackError("Kafka's storage could not be formatted.", log=log, advice="see the log above")
    fresh.replace(data)


def launch(profile: Profile) -> Launch:
    return Launch(
        command=(*java_command(), "kafka.Kafka", str(folder(profile) / "server.properties")),
        folder=folder(profile),
        environment=_ENVIRONMENT,
    )


def refuse_too_little_memory() -> None:
    """Raises StackError before a start that the kernel would end."""
    available = available_mib()
    if available is not None and available < NEEDED_MIB:
        raise StackError(
            f"Kafka needs about {NEEDED_MIB} MiB of memory and {available} MiB are available.",
            advice="end other programs, or name a Kafka elsewhere by KAFKA_BOOTSTRAP_SERVERS=host:port",
        )


def available_mib(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the machine and, where there is one, the container's limit leave; None where neither says."""
    found = []
    if meminfo.is_file():
        lines = meminfo.read_text().splitlines()
        found += [int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        found.append((int(limit.read_text()) - int(used.read_text())) // (1024 * 1024))
    return min(found, default=None)


def _configuration(profile: Profile, data: Path) -> str:
    return CONFIGURATION.format(
        port=profile.ports["kafka"], controller_port=profile.ports["kafka_controller"], data=data
    )


def java_command() -> tuple[str, ...]:
    program = java.find()
    if program is None:
        raise StackError(f"Java {java.OLDEST} or newer is not installed.", advice="run `python3 dev/stack.py install`")
    return (str(program), *HEAP, *QUIET, "-cp", f"{jars.folder()}/*")


SERVER = Server(
    name="kafka",
    title=f"Kafka {jars.VERSION}",
    ports=("kafka", "kafka_controller"),
    prepare=prepare,
    launch=launch,
    program="java",
    stop_signal=signal.SIGTERM,
    start_seconds=120.0,
)
