# Runs as root in a container of the base, with the requirements beside it; nothing of them stays in the image but what is installed.
# 41: pip failed, its last lines are printed. 42: installed, and Celery is not among it.
set -eu
stage=$(dirname "$0")
. "$stage/environment"
cd "$stage"
if ! command -v python >/dev/null 2>&1; then
    echo "there is no python on PATH"
    exit 43
fi
echo "== installing"
python -m pip install --no-cache-dir --quiet -r requirements.txt >pip.log 2>&1 || {
    tail -n 40 pip.log
    exit 41
}
python -c 'import celery' || exit 42
cd /
rm -rf "$stage"
