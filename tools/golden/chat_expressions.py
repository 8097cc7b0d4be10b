"""Expressions, and what is refused, for chat_templates.py."""

from chat_cases import TOOLS, case


def expressions(name, *sources, messages=None, **rest):
    """A case for several expressions, each between brackets."""
    case(name, "".join("[{{ " + source + " }}]" for source in sources), messages, **rest)


def refusals(name, *sources):
    for at, source in enumerate(sources):
        case(f"{name} {at + 1}", source)


expressions(
    "tojson",
    "tools | tojson", "tools | tojson(indent=2)", "tools | tojson(ensure_ascii=True)",
    "tools[0].function | tojson(separators=(',', ':'))", "tools | tojson(sort_keys=true)",
    "tools | tojson(indent=1, separators=(', ', ' = '))", "messages | tojson(indent='\t')",
    "[1, 1.0, 1e20, -0.5, true, none, 'a\n'] | tojson", "(1, 2) | tojson", "{} | tojson(indent=2)",
    "{1: 2, none: 3, true: 4, 1.5: 6} | tojson", "'é🐄' | tojson(true)",
    "{'a': []} | tojson(indent=0)", tools=TOOLS,
)
refusals(
    "no JSON",
    "{{ undefined_thing | tojson }}", "{{ messages | map(attribute='role') | tojson }}",
    "{{ range(3) | tojson }}", "{{ {(1, 2): 3} | tojson }}", "{{ messages[0].items() | tojson }}",
)
expressions(
    "printing",
    "none", "true", "1.0", "1e16", "1e15", "0.0001", "0.00001", "123456789.123", "-0.0",
    "[1, 'a', none, [2.5]]", "{'a': \"it's\", 'b': 'q\"'}", "(1,)", "()", "(1, 2)",
    "['é\n\t\\ \x01\u200b']", "messages[1]", "1, 2", "[true, false]", "range(3)",
    "{'a': 1}.items()", "{'a': 1}.keys()", "{'a': 1}.values()", "2 ** 40", "7 // 2", "-7 // 2",
    "-7 % 3", "7 / 2", "6 / 2", "7.5 // 2", "2 ** -1",
)
expressions(
    "strings in templates",
    r"'a\n\t\\b'", r"'\x41\u00e9\101'", r"'it\'s'", r'"q\"q"', "'a' 'b'", r"'\d\/'", r"'a\
b'",
)
expressions(
    "operators",
    "1 + 2 * 3", "(1 + 2) * 3", "'a' + 'b'", "'a' ~ 1 ~ none ~ 1.5", "'ab' * 3", "[1] * 2 + [3]",
    "3 - -2", "- 3 + 1", "not true or true", "1 < 2 < 3", "1 < 3 < 2", "1 == 1.0", "'a' != 'b'",
    "'a' in 'abc'", "'x' not in ['a']", "1 in (1, 2)", "'role' in messages[0]", "none == none",
    "true and 'x'", "'' or 'y'", "0 or [] or 'z'", "not []", "1 if true else 2", "'none' if false",
    "2 ** 3 ** 2", "-2 ** 2", "'%s-%d' % ('a', 3)", "true + 1", "[1, 2] == [1, 2]",
    "{'a': 1} == {'a': 1.0}", "(1, 2) < (1, 3)", "'a' < 'b'", "10 % 4 * 2", "-5 | abs",
    "(-5) | abs", "1.5 + 1", "3 == '3'", "7 - 2 - 1", "2 * 3 % 4", "true == 1", "[] is sameas []",
    "(1, 2) + (3,)",
)
expressions(
    "comparisons in a row",
    "1 < 2 == 2", "1 in [1] == true", "3 > 2 != 1 <= 1",
)
expressions(
    "indices and slices",
    "messages[-1].role", "messages[0]['role'][0]", "'abcdef'[1:3]", "'abcdef'[::-1]",
    "'abcdef'[::2]", "'abcdef'[-2:]", "[1, 2, 3, 4][1:]", "[1, 2, 3, 4][:-1]",
    "[1, 2, 3, 4][::-2]", "'äöü'[1]", "'äöü🐄'[::-1]", "(1, 2, 3)[1:]", "messages[5]",
    "messages[5] is defined", "{'a': {'b': 1}}.a.b", "{'a': 1}['b'] is defined",
    "[[1, 2], [3]].0.1", "range(5)[1:3] | list", "'abc'[10:]", "'abc'[1:10]", "[1, 2, 3][5:1:-1]",
    "{1: 'x'}[1]", "{1: 'x'}[1.0]", "'abc'[none:2]",
)
expressions(
    "members and methods of one name",
    "{'items': 5}['items']", "{'get': 7}['get']", "{'a': 1}['keys']() | list", "{'x': 1}.get('x')",
    "{'x': 1}.get('y', 'd')", "{'x': 1}.get('y')", "{'keys': 1}.keys() | list",
)
expressions(
    "methods that change case",
    "'hELLO wORLD'.upper()", "'hELLO'.lower()", "'hELLO wORLD'.capitalize()",
    "\"they're bill's friends\".title()", "'aBc'.swapcase()", "'straße'.upper()",
    "'ÉA'.casefold()", "'ΑΣ'.lower()",
)
expressions(
    "methods that strip and split",
    "'  a b '.strip()", "'xxaxx'.strip('x')", "'xya'.lstrip('xy')", "'a\n\n'.rstrip('\n')",
    "'a,b,,c'.split(',')", "'a b  c '.split()", "'a b c'.split(' ', 1)", "'a b c'.rsplit(' ', 1)",
    "' a  b '.split(none, 1)", "'a\nb\r\nc'.splitlines()", "'a\nb\n'.splitlines(true)",
    "'k=v=w'.partition('=')", "'k=v=w'.rpartition('=')", "'abc'.partition('-')", "''.split()",
    "''.split(',')", "'a</think>b'.split('</think>')[-1]", "'abab'.split('ab')",
    "' x y z '.rsplit(none, 1)", "'abc'.removeprefix('a')", "'abc'.removesuffix('bc')",
    "'\x1c a'.strip()",
)
expressions(
    "methods that search",
    "'hello'.find('l')", "'hello'.find('z')", "'hello'.rfind('l')", "'hello'.index('e')",
    "'hello'.count('l')", "'hello'.startswith('he')", "'hello'.startswith(('x', 'h'))",
    "'hello'.endswith('lo')", "'hello'.startswith('l', 2)", "'äöü'.find('ü')",
    "[1, 2, 1].count(1)", "[1, 2].index(2)", "'aaa'.count('aa')", "'abc'.find('')",
    "'abc'.count('')",
)
expressions(
    "methods that ask",
    "'a1'.isalnum()", "'ab'.isalpha()", "'12'.isdigit()", "' '.isspace()", "'Ab'.isupper()",
    "'AB'.isupper()", "'ab'.islower()", "''.isalpha()", "'Ab Cd'.istitle()", "'½'.isnumeric()",
    "'é'.isascii()",
)
expressions(
    "methods that fill",
    "'a'.center(4) ~ '|'", "'a'.center(5, '*')", "'ab'.center(5, '*')", "'a'.ljust(3, '.')",
    "'a'.rjust(3)", "'-7'.zfill(4)", "'a\tb'.expandtabs(4)", "'-'.join(['a', 'b'])",
    "'x'.replace('x', 'yy')", "'aaa'.replace('a', 'b', 2)", "'abc'.replace('', '-')",
)
expressions(
    "format",
    "'{} {}'.format(1, 'a')", "'{1}{0}'.format('a', 'b')", "'{x}'.format(x=3)", "'{{}}'.format()",
    "'{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c')", "'{:05d}'.format(42)",
    "'{:.2f}'.format(3.14159)", "'{:,}'.format(1234567)", "'{:+d}'.format(5)",
    "'{:x} {:X} {:#x} {:b} {:o}'.format(255, 255, 255, 5, 8)", "'{:.1%}'.format(0.256)",
    "'{:e}'.format(12345.678)", "'{:g} {:g}'.format(0.00001, 123456789.0)", "'{!r}'.format('a')",
    "'{:{}}|'.format('a', 4)", "'{0[a]} {0.a}'.format({'a': 1})", "'{:*^9.3}'.format('abcdef')",
    "'{:08.3f}'.format(-3.14159)", "'{:c}'.format(65)", "'{}'.format(none)",
    "'{:_}'.format(1000000)", "'{:010,}'.format(1234)", "'{: }'.format(3)",
    "'{:.3}'.format(1234.5)", "'{:s}'.format('x')", "'{}'.format(1.0)", "'{:=+8}'.format(42)",
    "'{:G}'.format(1e-10)",
)
expressions(
    "percent",
    "'%s and %s' % ('a', 1)", "'%5d|%-5d|%05d' % (42, 42, 42)", "'%.2f' % 3.14159",
    "'%x %X %o' % (255, 255, 8)", "'%%'% ()", "'%(a)s' % {'a': 1}", "'%r' % 'a'", "'%+d' % 3",
    "'%e' % 12345.678", "'%g' % 0.0001", "'%c%c' % ('a', 66)", "'%s' % [1, 2]", "'%*d' % (5, 42)",
    "'%10.3s|' % 'abcdef'", "'%d' % 3.9", "'%s' % none", "'%#x' % 255",
    "'%s %s' | format('a', 'b')", "'%(x)s' | format(x=2)", "'%5.1f|' % 2.25",
)
expressions(
    "filters of text",
    "' a ' | trim", "'xax' | trim('x')", "'abc' | upper", "'ABC' | lower",
    "'hello world' | capitalize", "'hello wOrld-foo (bar' | title", "'a b' | replace(' ', '_')",
    "'aaa' | replace('a', 'b', 2)", "'abc' | length", "'äöü' | length", "'abc' | list",
    "'abc' | reverse", "'abc' | first", "'abc' | last", "'a\nb\n\nc' | indent(2)",
    "'a\nb' | indent(2, true)", "'a\n\nb' | indent(2, blank=true)", "'a\nb' | indent('>>')",
    "'<a & \"b\">' | e", "'x' | center(5)", "'one two three four' | truncate(9)",
    "'one two three four' | truncate(9, true, '~', 0)", "'a b c' | wordcount", "5 | string",
    "none | string", "'a' | safe", "'abc' | join('-')", "1234 | string | length",
    "'a\r\nb' | indent(1)", "'' | indent(2, true)",
)
expressions(
    "filters of numbers",
    "'3' | int", "'3.7' | int", "'x' | int", "'x' | int(7)", "3.9 | int", "'2.5' | float",
    "'x' | float", "-3 | abs", "2.567 | round(2)", "2.5 | round", "3.2 | round(0, 'ceil')",
    "3.8 | round(method='floor')", "'ff' | int(0, 16)", "'0x1f' | int(base=16)", "true | int",
    "none | int(5)", "3 | round(1)", "1234.5 | round(-2)", "' 12 ' | int", "'1_000' | int",
)
expressions(
    "filters of lists",
    "[3, 1, 2] | sort", "[3, 1, 2] | sort(reverse=true)", "['b', 'A', 'c'] | sort",
    "['b', 'A', 'c'] | sort(case_sensitive=true)",
    "messages | sort(attribute='role') | map(attribute='role') | list",
    "[1, 2, 1, 3] | unique | list", "['a', 'A', 'b'] | unique | list", "[1, 2, 3] | sum",
    "[1, 2] | sum(start=10)", "[3, 1, 2] | min", "[3, 1, 2] | max", "['a', 'B'] | max",
    "[1, 2, 3] | first", "[1, 2, 3] | last", "[] | first is defined", "[1, 2, 3] | reverse | list",
    "[1, 2, 3] | join(', ')", "messages | map(attribute='role') | join('/')",
    "['a', 'b'] | map('upper') | list", "['a', 'b'] | map('replace', 'a', 'x') | list",
    "[1, 0, 2] | select | list", "[1, 2, 3, 4] | select('even') | list",
    "[1, 2, 3, 4] | reject('divisibleby', 2) | list",
    "messages | selectattr('role', '==', 'user') | list | length",
    "messages | rejectattr('role', 'in', ['user']) | list | length",
    "messages | selectattr('nope') | list",
    "messages | selectattr('content', 'defined') | list | length",
    "[1, 2, 3, 4, 5] | batch(2) | list", "[1, 2, 3] | batch(2, 'x') | list",
    "[1, 2, 3, 4, 5] | slice(2) | list", "[1, 2, 3, 4, 5] | slice(2, 'x') | list",
    "{'b': 1, 'A': 2} | dictsort", "{'b': 1, 'a': 2} | dictsort(by='value')",
    "{'b': 1, 'a': 2} | dictsort(reverse=true)", "{'b': 1, 'a': 2} | items | list",
    "{'a': 1} | list", "{'a': 1} | length", "[[1, 2], [3]] | map('length') | list",
    "[{'a': {'b': 2}}, {'a': {'b': 1}}] | sort(attribute='a.b') | map(attribute='a.b') | list",
    "[{'a': 1}, {}] | map(attribute='a', default='d') | list",
    "messages | groupby('role') | map('first') | list", "[(1, 'b'), (0, 'c')] | sort | list",
    "[1, [2]] | string", "[] | max is defined", "'abc' | map('upper') | join",
    "[{'k': 1, 'v': 2}] | sum(attribute='v')",
    "messages | map(attribute='content') | map('trim') | list | length", "[3, 1] | sort | first",
    "[[2, 1], [1, 2]] | sort(attribute=0)",
    "[{'a': 2, 'b': 1}, {'a': 1, 'b': 3}] | sort(attribute='a,b')",
)
expressions(
    "default and attr",
    "nope | default('d')", "'' | default('d')", "'' | default('d', true)", "none | default('d')",
    "none | d('d', true)", "messages[0].nope | default('x')", "nope | default",
)
expressions(
    "filters bind tighter than operators",
    "'a' + 'b' | upper", "('a' + 'b') | upper", "1 + '2' | int", "'a' ~ 'b' | upper",
    "not '' | length", "-3 | abs + 1", "[1, 2] | length > 1", "'a' | upper in 'ABC'",
    "'x' if '' | length else 'y'",
)
expressions(
    "things that are not there",
    "nope", "messages[0].nope", "nope is defined", "nope is undefined", "nope | length",
    "nope == none", "nope == other", "nope ~ 'x'", "[nope]", "nope | list", "'a' in nope",
    "not nope", "nope | upper", "nope or 'x'", "nope | join('a')",
    "messages[0]['nope'] is defined", "(nope | first) is defined", "none.x is defined",
)
expressions(
    "tests",
    "1 is integer", "1.0 is float", "true is integer", "true is boolean", "true is number",
    "'a' is string", "'a' is iterable", "'a' is sequence", "[] is sequence", "{} is mapping",
    "{} is sequence", "{} is iterable", "none is none", "1 is iterable", "1 is odd", "2 is even",
    "4 is divisibleby(2)", "4 is divisibleby 3", "'a' is eq 'a'", "1 is ne 2", "1 is lt(2)",
    "'A' is upper", "'a' is lower", "1 is in [1]", "'x' is not none", "true is true", "1 is true",
    "false is false", "range is callable", "2 is ge 2", "none is sameas none", "1 is sameas true",
    "() is sequence", "range(2) is sequence", "range(2) is iterable", "{}.keys() is iterable",
    "nope is sequence", "nope is iterable", "nope is mapping", "nope is string", "nope is none",
    "1 is not string and 2 is integer", "'a' is equalto('a') and 1", "1 is greaterthan 0",
    "'' is string", "1.5 is number", "none is string", "raise_exception is defined",
    "messages is not string and messages is iterable", "3 is odd or nope", "1 is in([2]) or 'z'",
)
expressions(
    "strftime_now",
    "strftime_now('%d %b %Y')", "strftime_now('%Y-%m-%d')", "strftime_now('%A, %B %d, %Y')",
    "strftime_now('%H:%M:%S %p %I')", "strftime_now('%j %U %W %w %u %y %a')",
    "strftime_now('100%%')", "strftime_now('%-d/%-m')", "strftime_now('%e|%F|%T|%R|%D')",
)
refusals(
    "exceptions",
    "{{ raise_exception('no ' ~ messages[0].role) }}", "{{ nope.x }}", "{{ nope() }}",
    "{{ nope + 'x' }}", "{{ 'a' + 1 }}", "{{ messages[0].role() }}", "{{ 1 / 0 }}",
    "{% for x in none %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{{ 5 | length }}",
    "{{ messages.append(1) }}", "{{ messages[0].update({'a': 1}) }}", "{{ messages[0].nope.x }}",
    "{{ none.x.y }}", "{{ 'a' | nope }}", "{{ 'a' is nope }}", "{{ range(1000000) }}",
    "{{ [1] + 1 }}", "{{ 'x' in 5 }}", "{{ 1 < 'a' }}", "{{ 1 + 2 ~ 3 }}", "{{ 1 ~ 2 + 3 }}",
    "{% set messages.x = 1 %}", "{{ 'a'.index('b') }}",
    "{{ messages | map(attribute='role') | length }}", "{{ '%d' % 'x' }}", "{{ '%s' % (1, 2) }}",
    "{{ '{}'.format() }}", "{{ [1, 'a'] | sort }}", "{{ 'x' * 'y' }}", "{{ - 'a' }}",
    "{{ {[1]: 2} }}", "{{ none | tojson(foo=1) }}", "{% set a, b = 1 %}", "{% set a, b = [1] %}",
    "{{ messages | last(1) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ 'abc'.split('') }}", "{{ ''.join([1]) }}", "{{ '%q' % 1 }}", "{{ '{:q}'.format(1) }}",
)
refusals(
    "syntax",
    "{% if %}", "{% if true %}", "{{ }}", "{{ 1 + }}", "{% endfor %}",
    "{% for x in %}{% endfor %}", "{% nope %}", "{{ 'a }}", "{{ a b }}", "{% set 1 = 2 %}",
    "{% break %}", "{% macro %}{% endmacro %}", "{{ (1 }}", "{{ [1, }}",
    "{% for x in [1] %}{% endif %}", "{% do 1 %}", "{{ 1 if }}", "{% call 5 %}{% endcall %}",
    "{{ a.}}", "{{ a[] }}", "{% include 'x' %}", "{% generation %}x", "{{ '\\ud800' }}", "{{ $ }}",
    "{# open", "{% raw %} x", "{% set true = 1 %}", "{{ f(a=1, 2) }}", "{{ {'a' 1} }}",
    "{% if a %}b{% else %}c",
)
