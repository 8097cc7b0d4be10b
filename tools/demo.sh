#!/usr/bin/env bash
# Shows what Millwright does on the language model in examples/, telling each command it runs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly folder=examples/shakespeare
first_of() {
  local path
  for path in "$@"; do
    if [[ -e $path ]]; then
      printf '%s' "$path"
      return
    fi
  done
}
model=$(first_of $folder/*.mlmodelc $folder/*.mlpackage)
text=$(first_of $folder/*valid*.txt $folder/*.txt)
[[ -n $model && -n $text ]] ||
  die "$folder: expected a model (.mlmodelc or .mlpackage) and a .txt file"

step=0
tell() {
  step=$((step + 1))
  printf '\n%d. %s\n' "$step" "$1"
}
# Prints the command as a person would type it, then runs it.
run() {
  local word line='$'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./=:-]*) line+=" \"$word\"" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '\n   %s\n\n' "$line"
  "$@"
}

echo "Millwright opens a Core ML model on this machine, no Mac needed. Here is one: $model,"
echo "a language model that has read Shakespeare."
tell "What is inside? Functions, inputs, outputs, operations, weights, what could be trained:"
run build/bin/millwright inspect "$model"
tell "Let it write, one token after the other:"
run build/bin/millwright generate "$model" --prompt "ROMEO:" --max-tokens 120
printf '\n'
tell "How well does it predict a text? Perplexity is e to the mean loss; lower is better:"
run build/bin/millwright eval "$model" --data "$text" --seq-len 128
tell "Train: a small student learns from it for about a minute (distillation), then both texts and a report:"
rm -rf build/demo && mkdir -p build/demo
run build/bin/millwright distill --teacher "$model" --student $folder/student.mlpackage \
  --data $folder/train.txt --eval-data "$text" --steps "${DEMO_STEPS:-1500}" --eval-every 500 \
  --lr 0.002 --schedule cosine --warmup 20 --overwrite --output build/demo/student.mlpackage
tell "What the student writes now, from the package that was written back:"
run build/bin/millwright generate build/demo/student.mlpackage --tokenizer $folder/tokenizer.json \
  --prompt "ROMEO:" --max-tokens 60
printf '\nEvery command explains itself: build/bin/millwright --help\n'
