#!/bin/sh
# A job, with curl alone: submitted, followed through two cuts of the connection, and nothing of it missed.
#   ARCP_URL=http://127.0.0.1:7777 ARCP_TOKEN=demo-token sh examples/curl/follow.sh [agent [input]]
set -eu
url=${ARCP_URL:-http://127.0.0.1:7777}
auth="Authorization: Bearer ${ARCP_TOKEN:-demo-token}"
json="Content-Type: application/json"
agent=${1:-echo}
input=${2:-'{"hello":"world"}'}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The first envelope makes a connection. Its address is in the answer's headers.
curl -sS --fail-with-body -D "$work/head" -o "$work/welcome" -H "$auth" -H "$json" "$url/arcp/http" --data '{
  "arcp": "1.1", "id": "msg_hello", "type": "session.hello",
  "payload": {"client": {"name": "curl", "version": "1"}, "capabilities": {"encodings": ["json"], "features": ["ack"]}}
}'
connection=$url$(sed -n 's/^[Ll]ocation: *\([^[:space:]]*\).*/\1/p' "$work/head")

curl -sS --fail-with-body -H "$auth" -H "$json" "$connection" --data "{
  \"arcp\": \"1.1\", \"id\": \"msg_submit\", \"type\": \"job.submit\",
  \"payload\": {\"agent\": \"$agent\", \"input\": $input}
}"

# Prints events after number $1 until there are $2 of them, or the job has ended; then hangs up.
mkfifo "$work/stream"
follow() {
  curl -sS -N -H "$auth" -H "Last-Event-ID: $1" "$connection/events" >"$work/stream" 2>/dev/null &
  curl=$!
  id= count=0
  while IFS= read -r line; do
    case $line in
    "id: "*) id=${line#id: } ;;
    "data: "*)
      [ -n "$id" ] || continue
      echo "$id ${line#data: }"
      id= count=$((count + 1))
      case $line in *'"type":"job.result"'* | *'"type":"job.error"'*) break ;; esac
      [ "$count" -lt "$2" ] || break
      ;;
    esac
  done <"$work/stream"
  kill "$curl" 2>/dev/null || true
  wait "$curl" 2>/dev/null || true
}

seen=0
for most in 2 2 1000000; do
  follow "$seen" "$most" >"$work/events"
  cat "$work/events"
  last=$(sed -n '$s/ .*//p' "$work/events")
  seen=${last:-$seen}
  grep -q '"type":"job\.\(result\|error\)"' "$work/events" && break
  echo "-- cut after event $seen" >&2
done

curl -sS -X DELETE -H "$auth" "$connection"
