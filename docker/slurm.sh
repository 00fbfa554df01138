#!/usr/bin/env bash
# A sweep on Slurm: sbatch docker/slurm.sh CONFIG [--set KEY=VALUE ...]. See docs/cluster.md.
# The script starts Ray on every node of the allocation, submits the sweep and follows it. Before its time
# limit, it stops the sweep cleanly and queues itself again. The next job then continues the sweep.
# Activate the environment with podium before you call sbatch; the job inherits it. Variables:
#   GPUS          GPUs that Ray offers on each node, 0 for none (default: the GPUs that Slurm assigned)
#   HEAD_ADDRESS  address of the first node that the other nodes can reach (default: the node reports it)
#   JOIN_SECONDS  maximum time for the nodes to join the first node (default: 120)
#   RAY_FOLDER    Ray's folder on each node, removed at the end (default: /tmp/ray-JOB)
#SBATCH --job-name=podium
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch docker/slurm.sh CONFIG [--set KEY=VALUE ...]" >&2
  exit 2
fi

# One secret per job; srun passes it to the nodes with the other variables of the environment.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE RAY_AUTH_TOKEN

# Two jobs can run on the same node, so each job has its own ports and folder.
port=$((20000 + SLURM_JOB_ID % 10000))
dashboard=$((30000 + SLURM_JOB_ID % 10000))
folder=${RAY_FOLDER:-/tmp/ray-$SLURM_JOB_ID}
cpus=${SLURM_CPUS_PER_TASK:-1}
size=(--num-cpus="$cpus" --num-gpus="${GPUS:-${SLURM_GPUS_ON_NODE:-0}}")
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}

# srun does not pass on --cpus-per-task by default.
run=(srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus")

# Starts Ray on a node and removes its folder after Ray has ended there.
# shellcheck disable=SC2016  # the node's shell expands it
on_node='"${@:2}" & trap "kill $!" TERM; wait $! || wait $! || code=$?; rm -rf -- "$1"; exit ${code:-0}'
start() {
  "${run[@]}" --nodelist="$1" bash -c "$on_node" bash "$folder" "${@:2}" "${size[@]}" &
  started+=($!)
}
started=()

# Stops the job if Ray has ended on a node.
check() {
  local number
  for number in "${!started[@]}"; do
    kill -0 "${started[number]}" 2>/dev/null ||
      stop "Ray ended on node ${nodes[number]}; its output is above"
  done
}

# Ends Ray on all nodes and all other processes of the job; a second signal does not interrupt this.
# shellcheck disable=SC2329  # a trap calls it
finish() {
  trap '' TERM USR1
  kill "${started[@]}" 2>/dev/null || true
  wait "${started[@]}" || true
}
trap finish EXIT

stop() {
  echo "error: $1" >&2
  exit 1
}

# Prints the first address of a node that other nodes can reach, IPv4 before IPv6.
reachable() {
  local one found=
  for one in "$@"; do
    case $one in
    127.* | 169.254.* | ::1 | fe80:*) ;;
    *.*) found=$one && break ;;
    *) found=${found:-$one} ;;
    esac
  done
  echo "$found"
}
read -ra addresses < <("${run[@]}" --nodelist="$head" hostname --all-ip-addresses) || true
address=${HEAD_ADDRESS:-$(reachable "${addresses[@]}")}
if [ -z "$address" ]; then
  stop "node $head has no address that other nodes can reach (${addresses[*]}); set HEAD_ADDRESS"
fi
host=$address
case $host in *:*) host="[$host]" ;; esac

start "$head" \
  ray start --head --block --node-ip-address="$address" --port="$port" \
  --dashboard-host="$address" --dashboard-port="$dashboard" --temp-dir="$folder"

export RAY_API_SERVER_ADDRESS="http://$host:$dashboard"
until ray job list >/dev/null 2>&1; do
  check
  if ((SECONDS > 180)); then
    stop "Ray on node $head gives no answer at $RAY_API_SERVER_ADDRESS; set HEAD_ADDRESS"
  fi
  sleep 2
done

for node in "${nodes[@]:1}"; do
  start "$node" \
    ray start --block --address="$host:$port"
done

joined() {
  ray list nodes --filter state=ALIVE --limit 10000 --format json --address "$RAY_API_SERVER_ADDRESS" |
    python -c 'import json, sys; print(len(json.load(sys.stdin)))'
}
if ((${#nodes[@]} > 1)); then
  last=$((SECONDS + ${JOIN_SECONDS:-120}))
  until [ "$(joined 2>/dev/null)" = "${#nodes[@]}" ]; do
    check
    if ((SECONDS > last)); then
      stop "$(joined || echo 0) of ${#nodes[@]} nodes joined the cluster within \
${JOIN_SECONDS:-120} s; they reach the head at $host:$port: if that is wrong, set HEAD_ADDRESS"
    fi
    sleep 2
  done
fi

# Slurm sends USR1 before the time limit. scancel sends TERM; after TERM the job is not queued again.
# shellcheck disable=SC2329  # the trap calls it
requeue() {
  podium submit "$@" --stop || true
  finish
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}
trap 'requeue "$@"' USR1
trap 'exit 143' TERM

podium submit "$@" --follow &
follower=$!
started+=("$follower")
code=0
wait "$follower" || code=$?
exit "$code"
