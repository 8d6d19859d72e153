#!/usr/bin/env python3
"""Writes the examples, the rows and the costs of docs/scale.md anew: scripts/scale.py PROGRAM.

PROGRAM is a tributary that was built with the src/plan/costs.toml of the tree."""
import json, re, subprocess, sys, tomllib
BIN=sys.argv[1]
def plan(args, *more):
    return subprocess.run([BIN,'plan',*args.split(),*more],capture_output=True,text=True,check=True).stdout
def g(n): return f"{n:,}"
def rows(cmd, ns):
    out=[]
    for n in ns:
        def w(x):
            if x=='N': return str(n)
            if x.startswith('N/'): return str(n//int(x[2:]))
            return x
        p=json.loads(plan(' '.join(w(x) for x in cmd.split()),'--json'))
        t=[g(x['nodes']) for x in p['today'].get('tiers',[])]
        c=p['clusters'] or {}
        t=' + '.join(t) if t else f"{g(c['clusters'])} x ({' + '.join(g(x['nodes']) for x in c['tiers'])})" if c else 'not possible'
        r=[g(x['nodes']) for x in (p['with_relays'] or {'tiers':[]})['tiers']]
        out.append(f"| {g(n)} | {t} | {' + '.join(r) if r else '-'} |")
    return '\n'.join(out)
s=open('docs/scale.md').read()
def block(m):
    return f"```\n$ tributary plan {m.group(1)}\n{plan(m.group(1))}```"
s=re.sub(r"```\n\$ tributary plan ([^\n]*)\n.*?```",block,s,flags=re.S)
NS=[1000,10000,100000,1000000,10000000]
def table(m):
    return m.group(1)+rows(m.group(2),NS)+'\n'
s=re.sub(r"(`tributary plan ([^`]*N[^`]*)`[^\n]*\n(?:[^|\n][^\n]*\n)*\n\|[^\n]*\n\|[-|]*\n)(?:\|[^\n]*\n)*",table,s)
c=tomllib.load(open('src/plan/costs.toml','rb'))
def num(v):
    if v==0: return '0'
    if v>=100: return g(round(v))
    if v>=10: return f"{v:.1f}"
    if v>=0.01: return f"{v:.2f}"
    return f"{v:.3f}"
NAMES={'process':'a process','link':'a link','session':'a session','viewer':'a viewer, besides','publisher':'a publisher, besides','lane':'a lane','group':'a group in Rust','script_group':'a group of a script','call':'a call','script_call':'a call of a script','published_message':'a published message','published_mbit':'a published Mbit','feed':'a feed to an edge','feed_message':'a message in it','feed_mbit':'a Mbit in it','wake':'a wake-up','interactive_write':'a write to a viewer, `interactive`','standard_write':'the same, `standard`','broadcast_write':'the same, `broadcast`','delivered_mbit':'a Mbit to a viewer','ring_megabyte':'a MB of media in a ring'}
T=[('edge','processor'),('origin','processor'),('origin','link_thread'),('edge','memory'),('origin','memory'),('edge','kernel')]
lines=[]
for k,n in NAMES.items():
    cells=[]
    for t in T:
        x=c[t[0]][t[1]]['costs'].get(k)
        if x is None: cells.append('')
        else:
            f=1024 if t[1] in('memory','kernel') else 1
            v,e=x['value']/f,x['error']/f
            cells.append(f"{num(v)} ± {num(e)}" if v else f"0 ± {num(e)}")
    lines.append(f"| {n} | "+' | '.join(cells)+' |')
lines.append('| error, typical and largest | '+' | '.join(f"{c[a][b]['typical_error']*100:.0f} %, {c[a][b]['largest_error']*100:.0f} %" for a,b in T)+' |')
s=re.sub(r"(\| of each \|[^\n]*\n\|[-|]*\n)(?:\|[^\n]*\n)*",lambda m:m.group(1)+re.sub(r'  +',' ','\n'.join(lines))+'\n',s)
open('docs/scale.md','w').write(s)
