#!/usr/bin/env bash
# A Slurm on the loopback interface, of one node or several, for the tests. Needs root and Debian's or Ubuntu's packages.
#   up.sh            start it and wait until its nodes are idle; installs the packages where they are missing
#   up.sh down       stop what was started
#   . $PREFIX/env.sh then sbatch, squeue and the rest talk to it
# Nothing under /etc is touched: configuration, munge's key and socket, state and logs lie under $PREFIX.
#   PREFIX  where (/tmp/triptych-slurm)   NODES  how many (1), all of them this machine
#   GPUS    slots of a node (2), each a null device   CPUS  of a node, said to be there (16)
#   PORT    the controller's (16817); each node takes the next, and with ACCT=1 (accounting, so that sacct works) two more
set -euo pipefail
PREFIX=${PREFIX:-/tmp/triptych-slurm}
NODES=${NODES:-1} GPUS=${GPUS:-2} CPUS=${CPUS:-16} PORT=${PORT:-16817} ACCT=${ACCT:-0}
HOST=$(hostname -s)
nodes=("$HOST")  # the first has the machine's name, by which others find it
for i in $(seq 2 "$NODES"); do nodes+=("$HOST-$i"); done
DBD=$((PORT + NODES + 1))
export SLURM_CONF=$PREFIX/etc/slurm.conf

lives() { case "$(sed 's/.*) //;s/ .*//' "/proc/$1/stat" 2>/dev/null)" in "" | Z) return 1 ;; esac; }  # a zombie does not
alive() { [ -s "$1" ] && lives "$(cat "$1")"; }
stop() {  # the daemons remove their pid files early, so the process is watched
  local pid
  alive "$1" || return 0
  pid=$(cat "$1")
  kill "$pid"
  for _ in $(seq 80); do lives "$pid" || return 0; sleep .1; done
  kill -9 "$pid"
}

if [ "${1:-up}" = down ]; then
  if alive "$PREFIX/run/slurmctld.pid" && timeout 10 scancel --me 2>/dev/null; then  # and the node must be there to end them
    for _ in $(seq 100); do [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] || break; sleep .1; done
  fi
  for daemon in "${nodes[@]/#/slurmd-}" slurmctld slurmdbd mariadb munged; do stop "$PREFIX/run/$daemon.pid"; done
  for step in $(pgrep -x slurmstepd); do  # of a job that did not end, or of a node that had died
    ! grep -qzFx "SLURM_CONF=$SLURM_CONF" "/proc/$step/environ" 2>/dev/null || kill -9 "$step"
  done
  exit 0
fi

packages=(slurmctld slurmd slurm-client munge)
[ "$ACCT" = 0 ] || packages+=(slurmdbd slurm-wlm-mysql-plugin mariadb-server)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

mkdir -p "$PREFIX"/{etc,run,log,state,spool,munge,dev}
chmod 755 "$PREFIX" "$PREFIX"/{etc,run,log,state,spool,dev}

# munge, with its own key and socket, as the user that its package made
if ! alive "$PREFIX/run/munged.pid"; then
  [ -s "$PREFIX/munge/key" ] || dd if=/dev/urandom of="$PREFIX/munge/key" bs=128 count=1 status=none
  chown -R munge:munge "$PREFIX/munge"
  chmod 711 "$PREFIX/munge"
  chmod 600 "$PREFIX/munge/key"
  runuser -u munge -- /usr/sbin/munged --force --num-threads=2 --key-file="$PREFIX/munge/key" --socket="$PREFIX/munge/sock" \
    --pid-file="$PREFIX/munge/pid" --log-file="$PREFIX/munge/log" --seed-file="$PREFIX/munge/seed"
  for _ in $(seq 50); do [ ! -s "$PREFIX/munge/pid" ] || break; sleep .1; done
  ln -sfn "$PREFIX/munge/pid" "$PREFIX/run/munged.pid"
fi

# Accounting
accounting="AccountingStorageType=accounting_storage/none"
if [ "$ACCT" = 1 ]; then
  accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$PREFIX/munge/sock
AccountingStoragePort=$DBD"
  if ! alive "$PREFIX/run/mariadb.pid"; then
    install -d -o mysql -g mysql "$PREFIX/db" "$PREFIX/mariadb"
    [ -d "$PREFIX/db/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$PREFIX/db" --skip-test-db \
      --auth-root-authentication-method=normal >"$PREFIX/log/mariadb-install.log" 2>&1
    setsid -f /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$PREFIX/db" --socket="$PREFIX/mariadb/sock" \
      --pid-file="$PREFIX/mariadb/pid" --bind-address=127.0.0.1 --port=$((DBD + 1)) --innodb-buffer-pool-size=32M \
      --innodb-lock-wait-timeout=900 --performance-schema=OFF </dev/null >>"$PREFIX/log/mariadb.log" 2>&1
    for _ in $(seq 600); do mariadb-admin --no-defaults -S "$PREFIX/mariadb/sock" ping >/dev/null 2>&1 && break; sleep .1; done
    ln -sfn "$PREFIX/mariadb/pid" "$PREFIX/run/mariadb.pid"
    mariadb --no-defaults -S "$PREFIX/mariadb/sock" -e "create database if not exists slurm_acct_db;
      create user if not exists slurm@'127.0.0.1' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';
      create user if not exists slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost;"
  fi
  install -m 600 /dev/null "$PREFIX/etc/slurmdbd.conf"
  cat >"$PREFIX/etc/slurmdbd.conf" <<CONF
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$PREFIX/munge/sock
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((DBD + 1))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
LogFile=$PREFIX/log/slurmdbd.log
PidFile=$PREFIX/run/slurmdbd.pid
CommunicationParameters=NoInAddrAny
CONF
fi

# No cgroups. Times are short, so that tests need not wait: by default Slurm looks at its queue every 30 s
# (sched_interval), gives a job 30 s to end (KillWait) and takes 300 s to find a node dead (SlurmdTimeout).
cat >"$PREFIX/etc/slurm.conf" <<CONF
ClusterName=triptych
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$PREFIX/munge/sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MailProg=/bin/true
SlurmctldPidFile=$PREFIX/run/slurmctld.pid
SlurmdPidFile=$PREFIX/run/slurmd-%n.pid
SlurmctldLogFile=$PREFIX/log/slurmctld.log
SlurmdLogFile=$PREFIX/log/slurmd-%n.log
StateSaveLocation=$PREFIX/state
SlurmdSpoolDir=$PREFIX/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
$accounting
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,bf_resolution=60,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
PriorityType=priority/basic
KillWait=2
MinJobAge=300
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
$(for i in "${!nodes[@]}"; do
  echo "NodeName=${nodes[i]} NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 1 + i)) CPUs=$CPUS RealMemory=4000 Gres=gpu:$GPUS State=UNKNOWN"
done)
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1 GraceTime=10
PartitionName=high Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=10
CONF
for i in $(seq 0 $((GPUS - 1))); do  # its number becomes CUDA_VISIBLE_DEVICES; of a regular file it would not
  [ -c "$PREFIX/dev/gpu$i" ] || mknod "$PREFIX/dev/gpu$i" c 1 3
done
echo "Name=gpu File=$PREFIX/dev/gpu[0-$((GPUS - 1))]" >"$PREFIX/etc/gres.conf"
echo "export SLURM_CONF=$SLURM_CONF" >"$PREFIX/env.sh"

if [ "$ACCT" = 1 ] && ! alive "$PREFIX/run/slurmdbd.pid"; then
  /usr/sbin/slurmdbd
  for _ in $(seq 600); do sacctmgr -n -i show cluster >/dev/null 2>&1 && break; sleep .1; done
  sacctmgr -n -i add cluster triptych >/dev/null 2>&1 || true
fi
end=$((SECONDS + 60))
while [ $SECONDS -lt $end ]; do
  alive "$PREFIX/run/slurmctld.pid" || /usr/sbin/slurmctld || true
  for node in "${nodes[@]}"; do alive "$PREFIX/run/slurmd-$node.pid" || /usr/sbin/slurmd -N "$node" || true; done
  up=0
  while read -r node state; do
    case "$state" in
      idle | mixed | allocated) up=$((up + 1)) ;;
      down* | drain* | unknown*) timeout 3 scontrol update nodename="$node" state=resume 2>/dev/null || true ;;
    esac
  done < <(timeout 3 sinfo -h -N -p gpu -o "%N %T" 2>/dev/null || true)
  [ $up -lt "$NODES" ] || exit 0
  sleep .2
done
echo "Slurm did not come up; its logs are in $PREFIX/log" >&2
tail -n 5 "$PREFIX"/log/*.log "$PREFIX/munge/log" >&2
exit 1
