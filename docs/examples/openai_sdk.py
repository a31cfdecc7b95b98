"""The stack as an OpenAI endpoint for any context length. Reads STACK_URL (with /v1) and STACK_KEY."""

import os
import time

from openai import OpenAI

client = OpenAI(base_url=os.environ["STACK_URL"], api_key=os.environ["STACK_KEY"])
model = client.models.list().data[0].id
haystack = "grass\n" * 50_000
text = f"{haystack}The magic number for amber-fox is 7261940.\n{haystack}"
question = {"type": "text", "text": "What is the magic number for amber-fox?"}

# The context in the message itself; any part beyond 8,000 characters is context, not question.
reply = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": [{"type": "text", "text": text}, question]}]
)
print(reply.choices[0].message.content, f"({reply.usage.total_tokens:,} tokens for {len(text):,} characters)")

# Upload once, ask many times; streamed.
uploaded = client.files.create(file=("meadow.txt", text.encode()), purpose="user_data")
stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": uploaded.id}}, question]}],
    stream=True,
)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))

# A run that takes long: nobody has to wait on a connection, and a restart of the service does not lose what it found.
asked = [{"type": "input_file", "file_id": uploaded.id}, {"type": "input_text", "text": question["text"]}]
response = client.responses.create(model=model, input=[{"role": "user", "content": asked}], background=True)
while response.status == "in_progress":
    time.sleep(0.2)
    response = client.responses.retrieve(response.id)
print(response.status, response.output_text)
client.files.delete(uploaded.id)
