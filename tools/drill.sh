#!/bin/sh
# drill.sh NAME: runs one drill in a lab of its own and shows its report.
set -eu
cd "$(dirname "$0")/.."
name=$1
# molecule and ansible call each other's programs by name
PATH=$PWD/.venv/bin:$PATH
ANSIBLE_CONFIG=$PWD/ansible.cfg
export PATH ANSIBLE_CONFIG
if [ ! -f "molecule/$name/molecule.yml" ]; then
    echo "drill: there is no drill '$name'; there are: $(cd molecule && ls -d */molecule.yml | xargs -n1 dirname | tr '\n' ' ')" >&2
    exit 2
fi
# a drill that needs a lab of another kind says so
if [ -f "molecule/$name/lab.env" ]; then
    set -a
    . "./molecule/$name/lab.env"
    set +a
fi
directory=build/drills/$name
rm -f "$directory/report.json"
# Started here, and not by Molecule, so that its progress is seen.
.venv/bin/python -m lab --directory "$directory/lab" start
export MOLECULE_GLOB='molecule/*/molecule.yml'
status=0
.venv/bin/molecule test --scenario-name "$name" --destroy always || status=$?
if [ -f "$directory/report.json" ]; then
    echo
    .venv/bin/python -m tools.show_report "$directory/report.json"
fi
[ "$status" = 0 ] || echo "drill: $name failed (exit status $status); the lab's logs are in $directory/lab" >&2
exit "$status"
