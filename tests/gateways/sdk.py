"""Sends requests through the official Claude SDK: a JSON line in, a JSON line out.

In: {"key", "body": {...}, "headers": {...}, "stream", "count"}; out, in the same order:
{"status", "message", "type", "text", "events", "usage", "sent"}, where `sent` is the body as the
SDK sent it (base64; nothing when it did not), `text` what the message says, and `status` 0 when
nothing was answered.
"""
import base64
import concurrent.futures
import json
import queue
import sys
import threading

import anthropic

url, workers = sys.argv[1], int(sys.argv[2])
mine = threading.local()


def note(request):
    mine.sent = request.read()


http = anthropic.DefaultHttpxClient(event_hooks={"request": [note]})


def call(line):
    asked = json.loads(line)
    mine.sent = b""
    client = anthropic.Anthropic(api_key=asked["key"], base_url=url, max_retries=0, http_client=http)
    arguments = {"extra_body": asked["body"], "extra_headers": asked["headers"], "timeout": 60}
    # What the SDK would trip over goes into the body by the side door.
    for name, kind, stand_in in (("model", str, "x"), ("messages", list, [])):
        given = isinstance(asked["body"].get(name), kind)
        arguments[name] = asked["body"].pop(name) if given else stand_in
    arguments["max_tokens"] = asked["body"].pop("max_tokens", anthropic.NOT_GIVEN)
    answer = {"status": 0, "message": None, "type": None, "text": None, "events": 0, "usage": None}
    try:
        if asked.get("count"):
            del arguments["max_tokens"]
            counted = client.messages.count_tokens(**arguments)
            answer |= {"status": 200, "usage": {"input_tokens": counted.input_tokens}}
        elif asked.get("stream"):
            with client.messages.create(stream=True, **arguments) as events:
                text = ""
                for event in events:
                    answer["events"] += 1
                    if event.type == "content_block_delta":
                        text += event.delta.text
                    if event.type == "message_delta":
                        answer["usage"] = {"output_tokens": event.usage.output_tokens}
            answer |= {"status": 200, "text": text}
        else:
            message = client.messages.create(**arguments)
            usage = {"input_tokens": message.usage.input_tokens, "output_tokens": message.usage.output_tokens}
            answer |= {"status": 200, "text": message.content[0].text, "usage": usage}
    except anthropic.APIStatusError as error:
        said = error.body.get("error", {}) if isinstance(error.body, dict) else {}
        answer |= {"status": error.status_code, "message": said.get("message"), "type": said.get("type")}
    except (anthropic.APIConnectionError, AttributeError, TypeError, ValueError) as error:
        answer["message"] = f"{error}: {error.__cause__!r}"
    answer["sent"] = base64.b64encode(mine.sent).decode()
    return answer


def write(answers):
    while (answer := answers.get()) is not None:
        print(json.dumps(answer.result()), flush=True)


def main():
    print(json.dumps({"version": anthropic.__version__}), flush=True)
    answers = queue.Queue()
    writer = threading.Thread(target=write, args=(answers,))
    writer.start()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for line in sys.stdin:
            answers.put(pool.submit(call, line))
        answers.put(None)
    writer.join()


main()
