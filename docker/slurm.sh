#!/usr/bin/env bash
# A sweep on Slurm: sbatch docker/slurm.sh CONFIG [--set KEY=VALUE ...]. docs/cluster.md
# Starts Ray on every node of the allocation, submits the sweep and follows it. Near the end of its
# time it stops the sweep cleanly and queues itself again, and the sweep goes on where it was.
# The environment with podium must be active when sbatch is called (it is passed on).
#SBATCH --job-name=podium
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch docker/slurm.sh CONFIG [--set KEY=VALUE ...]" >&2
  exit 2
fi

# One secret a job; srun hands it to the nodes with the rest of the environment.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE RAY_AUTH_TOKEN

# Two jobs may share a node: ports and folder are the job's own.
port=$((20000 + SLURM_JOB_ID % 10000))
dashboard=$((30000 + SLURM_JOB_ID % 10000))
folder=${RAY_FOLDER:-/tmp/ray-$SLURM_JOB_ID}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
size=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

srun --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --block --node-ip-address="$address" --port="$port" \
  --dashboard-host="$address" --dashboard-port="$dashboard" --temp-dir="$folder" "${size[@]}" &

export RAY_API_SERVER_ADDRESS="http://$address:$dashboard"
for _ in $(seq 60); do
  if ray job list >/dev/null 2>&1; then break; fi
  sleep 2
done

for node in "${nodes[@]:1}"; do
  srun --nodes=1 --ntasks=1 --nodelist="$node" \
    ray start --block --address="$address:$port" "${size[@]}" &
done

# shellcheck disable=SC2329  # the trap calls it
requeue() {
  trap '' TERM
  podium submit "$@" --stop || true
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}
trap 'requeue "$@"' TERM

podium submit "$@" --follow &
follower=$!
code=0
wait "$follower" || code=$?
exit "$code"
