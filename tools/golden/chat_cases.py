"""Whole templates and statements for chat_templates.py: our own and small, a feature or a few each."""

TALK = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "2 < 3 & 'so'?"},
    {"role": "assistant", "content": "Yes,\n\"it\" is é 🐄."},
]
ASK = TALK[:2]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather <now> & 'later'",
            "parameters": {
                "type": "object",
                "properties": {
                    "town": {"type": "string", "description": "Where é"},
                    "days": {"type": "integer", "enum": [1, 2.5, 1e-7]},
                },
                "required": ["town"],
            },
        },
    }
]
CALLS = [
    {"role": "user", "content": "Weather in Oslo?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": {"town": "Oslo", "a": [1, None]}},
            }
        ],
    },
    {"role": "tool", "name": "get_weather", "content": '{"t": -3}'},
    {"role": "assistant", "content": "Cold."},
]
PARTS = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "three"}]},
]

CASES = []


def case(name, template, messages=None, **rest):
    """`rest`: tools, documents, add_generation_prompt, and any other variable."""
    CASES.append({"name": name, "template": template, "messages": messages or TALK, **rest})


case(
    "chatml with a default system message",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = 'Help.' %}{% endif %}"
    "{{ '<|im_start|>system\n' + system_message }}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{'\n"
    "<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
)
case(
    "instructions with whitespace control",
    """{%- if messages[0].role == "system" -%}
    {%- set system = messages[0].content | trim -%}
    {%- set messages = messages[1:] -%}
{%- endif -%}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {%- if loop.first and system is defined %}
            {{- "[INST] " + system + "\\n\\n" + message.content + "[/INST]" }}
        {%- else %}
            {{- "[INST] " ~ message.content ~ "[/INST]" }}
        {%- endif %}
    {%- elif message.role == "assistant" -%}
        {{ " " + message.content | trim + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
""",
)
case(
    "tools with headers, dates and arguments",
    """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "Functions:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|end|>\\n\\n' }}
{%- endif %}
""",
    CALLS,
    tools=TOOLS,
    add_generation_prompt=True,
)
case(
    "thinking kept behind the last question only",
    """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set reasoning = '' %}
    {%- if message.role == "assistant" %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning) %}
            {{- '<a>\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<a>\\n' + content }}
        {%- endif %}
    {%- else %}
        {{- '<' + message.role[0] + '>\\n' + content + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}""",
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "<think>\nso\n</think>\n\nd"},
    ],
    enable_thinking=False,
)
case(
    "generation blocks",
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<a>' }}{% generation %}"
    "{{ m.content }}</a>{% endgeneration %}\n\n{% else %}\n<u>{{ m.content }}</u>{%- endif %}"
    "{% endfor %}",
    [*TALK, *ASK[1:], {"role": "assistant", "content": "No."}],
)
case(
    "schemas by a macro that calls itself",
    """{%- macro kind(spec, depth=0) -%}
  {%- if spec.type == 'array' -%}list of {{ kind(spec['items'], depth + 1) }}
  {%- elif spec.type == 'object' -%}{ {%- for k, v in spec.properties.items() %}{{ k }}: {{ kind(v, depth=depth + 1) }}{% if not loop.last %}, {% endif %}{% endfor -%} }
  {%- else -%}{{ spec.type }}{{ '?' if spec.nullable }}@{{ depth }}{%- endif -%}
{%- endmacro -%}
{{ kind(schema) }}""",
    schema={
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "string", "nullable": True}},
            "b": {"type": "object", "properties": {"c": {"type": "number"}}},
        },
    },
)
case(
    "documents",
    "{% for d in documents %}{{ d.title }}: {{ d['text'] }}\n{% endfor %}",
    documents=[{"title": "T", "text": "x <y>"}, {"title": "U", "text": "z"}],
)
case(
    "tools and documents that are not given",
    "{{ tools is none }} {{ documents is none }} {{ tools is defined }}"
    " {{ add_generation_prompt }}",
)
case(
    "other members of a line",
    "{{ lang }} {{ options.deep[1].x }} {{ n + 1 }} {{ flag }} {{ nothing }}",
    lang="no",
    options={"deep": [0, {"x": "y"}]},
    n=41,
    flag=True,
    nothing=None,
)
case(
    "special tokens",
    "{{ bos_token }}{{ eos_token }}{{ unk_token }}[{{ pad_token }}]{{ pad_token is defined }}",
)
case(
    "content that is null is as absent",
    "{% for m in messages %}{{ m.role }}:{{ m.content is defined }}{{ 'content' in m }}"
    "{{ m.content }};{% endfor %}",
    CALLS,
)
case(
    "content in parts",
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
    "{% elif p['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}|{% endfor %}",
    PARTS,
)
case(
    "parts by selectattr",
    "{% for m in messages %}"
    "{{ m.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') }}"
    ";{% endfor %}",
    PARTS,
)
case(
    "reasoning has several names",
    "{% for m in messages %}{{ m.reasoning_content }}/{{ m.thinking }};{% endfor %}",
    [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning": "because"}],
)
case(
    "members keep their order and nothing is escaped for HTML",
    "{{ messages[1].tool_calls[0].function.arguments | tojson }}",
    [{"role": "user", "content": "w?"},
      {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {
          "zz": 1, "b": {"y": [], "x": {}}, "a": "x <é'&> \u2028 \x7f \x01 \\ \" /"}}}]}],
)
case(
    "loop variables",
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}"
    "{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}"
    "{{ loop.depth0 }}{{ loop.previtem.role if loop.previtem is defined }}"
    "{{ loop.nextitem.role if loop.nextitem is defined else '-' }}{{ loop.cycle('o', 'e') }}"
    "{{ loop.changed(m.role) }};{% endfor %}",
)
case(
    "loops over other things",
    "{% for c in 'ab' %}{{ c }}.{% endfor %}{% for k in {'x': 1, 'y': 2} %}{{ k }}{% endfor %}"
    "{% for k, v in {'x': 1}.items() %}{{ k }}={{ v }}{% endfor %}"
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for x in [] %}"
    "{{ x }}{% else %}none{% endfor %}{% for x in nope %}{{ x }}{% else %}nope{% endfor %}"
    "{% for i in range(1, 7, 2) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}"
    "{% endfor %}{% for a in 1, 2 %}{{ a }}{% endfor %}"
    "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}",
)
case(
    "loops with a condition, break and continue",
    "{% for i in range(10) if i is odd %}{{ i }}{{ loop.index }}/{{ loop.length }} {% endfor %}"
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}"
    "{% endif %}{{ i }}{% endfor %}{% for i in range(3) %}{% for j in range(3) %}{% if j > i %}"
    "{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
)
case(
    "recursive loops",
    "{% for n in tree recursive %}{{ n.v }}{{ loop.depth }}{% if n.c %}[{{ loop(n.c) }}"
    "]{% endif %}{% if not loop.last %},{% endif %}{% endfor %}",
    tree=[{"v": 1, "c": [{"v": 2}, {"v": 3, "c": [{"v": 4}]}]}, {"v": 5}],
)
case(
    "scopes",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 10 %}{{ x }} {% endfor %}{{ x }}"
    "{% if true %}{% set x = 5 %}{% endif %}{{ x }}{% set ns = namespace(n=0, s='') %}"
    "{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}"
    "{{ ns.n }}{{ ns.s }}{% with a = 1, b = x %}{{ a }}{{ b }}{% set x = 9 %}{% endwith %}"
    "{{ x }}{{ a is defined }}{% for i in [] %}{% else %}{% set x = 7 %}{{ x }}{% endfor %}"
    "{{ x }}",
)
case(
    "set",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set body %}  text {{ a }}\n"
    "{% endset %}[{{ body }}]{% set up | upper | trim %} x{{ b }} {% endset %}[{{ up }}"
    "]{% set d = dict(a=1, b=2) %}{{ d }}{% set d = dict(d, c=3) %}{{ d }}"
    "{% set n = namespace({'q': 1}, r=2) %}{{ n.q }}{{ n.r }}{{ n.z is defined }}"
    "{{ dict([('k', 'v')]) }}{{ dict.fromkeys(['a'], 1) }}{{ dict(d, **{'e': 4}) }}",
)
case(
    "macros",
    "{% macro greet(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ greet('A') }}"
    "{{ greet('B', '?') }}{{ greet(mark='.', name='C') }}[{{ greet() }}]{% macro box() %}"
    "<{{ caller() }}>{% endmacro %}{% call box() %}in{{ bos_token }}{% endcall %}"
    "{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}"
    "{% call(v) each([1, 2]) %}({{ v }}){% endcall %}{% macro va(a) %}{{ a }}{{ varargs }}"
    "{{ kwargs }}{% endmacro %}{{ va(1, 2, 3, z=4) }}{% set outer = 3 %}{% macro o() %}"
    "{{ outer }}{% endmacro %}{{ o() }}{% set outer = 4 %}{{ o() }}{{ greet(*['D', '#']) }}"
    "{{ greet(**{'name': 'E'}) }}{{ (greet('F') | upper) ~ greet('G') | length }}"
    "{% macro dflt(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ dflt(1) }}{{ dflt(1, 2) }}",
)
case(
    "filter blocks, raw and comments",
    "{% filter upper %}a{{ bos_token }}{% endfilter %}{% raw %}{{ not }} {% this %}{% endraw %}"
    "{# a comment {{ x }} #}b{%- raw -%}  c  {%- endraw -%}"
    "  d{% filter replace('x', 'y') | upper %}xz{% endfilter %}",
)
case(
    "if and elif",
    "{% for i in [0, 1, 2, 3] %}{% if i == 0 %}a{% elif i == 1 %}b{% elif i == 2 %}c{% else %}"
    "d{% endif %}{% endfor %}{% if [] %}x{% elif 'y' %}y{% endif %}{% if not nope %}"
    "z{% endif %}",
)
case(
    "lines with blocks only vanish",
    "a\n  {% if true %}\n    b\n  {% endif %}\n  c {% if true %} d {% endif %}\n{{ bos_token }}"
    "\n  {# comment #}\ne\n{% if true %}\n\nf\n{% endif %}\n\n",
)
case(
    "signs keep and take space",
    "a \n {%- if true -%} \n b \n {%+ if true %} c {% endif -%} \n d{% endif +%}\n"
    "e {{- bos_token -}} f {#- g -#} h\n  {%+ set x = 1 %}\n i{{ bos_token }}\n",
)
case(
    "trailing newlines",
    "a\n\n",
)
case(
    "newlines of other systems",
    "a\r\nb{% if true %}\r\nc{% endif %}\rd\r\n",
)
case(
    "tabs before a block",
    "x\n\t {% set a = 1 %}\n\ty {{ a }}\n\xa0{% set b = 1 %}z",
)
case(
    "brackets in expressions",
    "{{ {'a': {'b': 1}}['a'] }}{{ {'a': {}} }}{% set x = {'k': [1, {'z': '}}'}]} %}{{ x }}"
    "{{ '%}' }}",
)
case(
    "text that looks like tags",
    "{ a } { {b} } %} }} #} {{ '{{' }} {% if '{%' %}x{% endif %}",
)
case(
    "a raw block on its own lines",
    "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
)
case(
    "comments over lines",
    "a {# one\n two #}\n b {# x -#}   \n c\n   {# y #}   d",
)
case(
    "blocks in the middle of a line",
    "a   {% if true %}   b   {% endif %}   c\n   {% if true %}d{% endif %}   \ne",
)
case(
    "several blocks on a line",
    "   {% set a = 1 %}   {% set b = 2 %}\n{{ a }}{{ b }}\n  {%- set c = 3 %}\n"
    "  {% set d = 4 -%}\n  {{ c }}{{ d }}",
)
