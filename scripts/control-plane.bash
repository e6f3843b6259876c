# Sourced by scripts that need an API server of their own. Holds start_control_plane and
# stop_control_plane; starts nothing by itself.
# shellcheck shell=bash

# start_control_plane DIR: sets and exports KUBECONFIG; DIR gets the logs. The control plane ends with
# stop_control_plane, and also when this shell dies, because its stdin then closes.
start_control_plane() {
  local dir=$1 word
  # Bash forgets a coprocess's pid when it ends, hence the copy.
  coproc CONTROL_PLANE { exec tests/controlplane/run.sh "$dir"; }
  # shellcheck disable=SC2153 # bash sets it
  control_plane_pid=$CONTROL_PLANE_PID
  exec {control_plane_in}>&"${CONTROL_PLANE[1]}" {control_plane_out}<&"${CONTROL_PLANE[0]}"
  eval "exec ${CONTROL_PLANE[1]}>&- ${CONTROL_PLANE[0]}<&-"
  if ! read -r word KUBECONFIG <&"$control_plane_out" || [[ $word != READY ]]; then
    echo "the control plane did not start; logs: $dir" >&2
    return 1
  fi
  export KUBECONFIG
}

stop_control_plane() {
  [[ -n ${control_plane_pid:-} ]] || return 0
  exec {control_plane_in}>&- {control_plane_out}<&-
  wait "$control_plane_pid" 2>/dev/null || true
  control_plane_pid=
}
