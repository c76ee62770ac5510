#include "meshd/admin.h"

#include <string.h>

#include "meshd/reply.h"

/* The page, its script and its style: no resource of anybody else, nothing of the mesh's data in them. What the script shows it puts in as text, never as markup. */

static const char page[] =
	"<!doctype html>\n"
	"<html lang=\"en\">\n"
	"<head><meta charset=\"utf-8\"><title>mesh</title><meta name=\"viewport\" content=\"width=device-width\">\n"
	"<link rel=\"stylesheet\" href=\"/dashboard.css\"><script src=\"/dashboard.js\" defer></script></head>\n"
	"<body>\n"
	"<h1>mesh</h1>\n"
	"<form id=\"login\"><label>Admin token <input id=\"token\" type=\"password\" autocomplete=\"off\" size=\"24\"></label>\n"
	"<button>Show</button> <span id=\"message\">It stands in DIR/admin.token and is kept in this page's memory alone.</span></form>\n"
	"<main id=\"main\" hidden>\n"
	"<h2>Status</h2><table id=\"status\"></table>\n"
	"<h2>Services</h2><table id=\"services\"></table>\n"
	"<h2>Endpoints</h2><table id=\"endpoints\"></table>\n"
	"<h2>Members</h2><table id=\"members\"></table>\n"
	"</main>\n"
	"</body></html>\n";

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}\n"
	"h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #d5dae1;overflow-wrap:anywhere}\n"
	"th{font-weight:600}#message{color:#57606a}\n"
	"@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}#message{color:#9198a1}}\n";

static const char script[] =
	"'use strict';\n"
	"let token = '';\n"
	"const by = id => document.getElementById(id);\n"
	"const day = ms => ms ? new Date(Number(ms)).toISOString().replace('.000Z', 'Z') : '';\n"
	"async function get(path) {\n"
	"  const r = await fetch(path, {headers: {Authorization: 'Bearer ' + token}, cache: 'no-store'});\n"
	"  const body = await r.json();\n"
	"  if (!r.ok) throw new Error(body.message || r.statusText);\n"
	"  return body;\n"
	"}\n"
	"function row(table, cells, tag) {\n"
	"  const tr = table.insertRow();\n"
	"  for (const cell of cells) {\n"
	"    const td = document.createElement(tag);\n"
	"    td.textContent = cell === undefined || cell === null ? '' : String(cell);\n"
	"    tr.append(td);\n"
	"  }\n"
	"}\n"
	"function fill(id, head, rows) {\n"
	"  const table = by(id);\n"
	"  table.replaceChildren();\n"
	"  if (head.length) row(table, head, 'th');\n"
	"  rows.forEach(r => row(table, r, 'td'));\n"
	"}\n"
	"async function show() {\n"
	"  const [status, services, members] = await Promise.all([get('/v1/status'), get('/v1/services'), get('/v1/members')]);\n"
	"  fill('status', [], [\n"
	"    ['Trust domain', status.trustDomain], ['Version', status.version], ['Ready', status.ready ? 'yes' : status.reasons.join('; ')],\n"
	"    ['Control', status.control], ['Generation', status.generation], ['Up for', Math.round(Number(status.uptimeMs) / 1000) + ' s'],\n"
	"    ['Sessions', status.sessions], ['Endpoints', status.endpoints], ['Issuing certificate until', day(status.ca.issuerNotAfter)]]);\n"
	"  fill('services', ['Service', 'Namespace', 'Endpoints', 'Static', 'Protocol', 'Timeout', 'Balancer', 'Generation'],\n"
	"    services.map(s => [s.service, s.namespace, s.endpoints, s.static, s.protocol, s.timeoutMs + ' ms', s.loadBalancer, s.generation]));\n"
	"  const lists = await Promise.all(services.map(async s => {\n"
	"    const key = s.service + '.' + s.namespace;\n"
	"    if (s.endpoints + s.static === 0) return [];\n"
	"    return (await get('/v1/endpoints?service=' + encodeURIComponent(key))).map(e => [key, e.instance, e.address, e.version, e.zone, e.state]);\n"
	"  }));\n"
	"  fill('endpoints', ['Service', 'Instance', 'Address', 'Version', 'Zone', 'State'], lists.flat());\n"
	"  fill('members', ['Identity', 'Instance', 'Address', 'Since', 'Generation', 'Refused', 'Watches'],\n"
	"    members.map(m => [m.spiffeId, m.instance, m.address, day(m.since), m.generation, m.refused, m.subscriptions.join(' ')]));\n"
	"  by('main').hidden = false;\n"
	"}\n"
	"async function refresh() {\n"
	"  try { await show(); by('message').textContent = 'as of ' + new Date().toLocaleTimeString(); }\n"
	"  catch (e) { by('message').textContent = e.message; }\n"
	"}\n"
	"by('login').addEventListener('submit', e => {\n"
	"  e.preventDefault();\n"
	"  token = by('token').value.trim();\n"
	"  refresh();\n"
	"});\n"
	"setInterval(() => { if (token && !document.hidden) refresh(); }, 3000);\n";

static void reply_static(struct mesh__exchange *x, const char *type, const char *text)
{
	const struct mesh__field_text fields[] = {
		{"Content-Type", type},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"},
	};
	struct mesh__reply reply = {.status = 200, .fields = fields, .n_fields = MESH__COUNT(fields), .body = text, .body_len = strlen(text)};

	mesh__exchange_reply(x, &reply);
}

void meshd_admin_dashboard(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	(void)meshd;
	(void)body;
	(void)rest;
	reply_static(x, "text/html; charset=utf-8", page);
}

void meshd_admin_dashboard_script(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	(void)meshd;
	(void)body;
	(void)rest;
	reply_static(x, "text/javascript; charset=utf-8", script);
}

void meshd_admin_dashboard_style(struct meshd *meshd, struct mesh__exchange *x, const struct mesh__json *body, const char *rest)
{
	(void)meshd;
	(void)body;
	(void)rest;
	reply_static(x, "text/css; charset=utf-8", style);
}
