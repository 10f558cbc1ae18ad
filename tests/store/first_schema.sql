-- Revision 0001, as sqlite3 dumps it. Never change this file.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE call_states (
	call_id TEXT NOT NULL, 
	sequence INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_call_states PRIMARY KEY (call_id, sequence), 
	CONSTRAINT fk_call_states_calls FOREIGN KEY(call_id) REFERENCES calls (call_id)
);
INSERT INTO "call_states" VALUES('rtc_one',1,'talking','2026-03-01 09:00:01.123456');
INSERT INTO "call_states" VALUES('rtc_one',2,'ended','2026-03-01 09:00:02.123456');
CREATE TABLE calls (
	call_id TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	webhook_id TEXT, 
	caller TEXT, 
	dialled TEXT, 
	agent TEXT, 
	model TEXT, 
	sip_call_id TEXT, 
	configuration TEXT, 
	state TEXT DEFAULT 'ringing' NOT NULL, 
	state_sequence INTEGER DEFAULT '0' NOT NULL, 
	ended_at DATETIME, 
	end_reason TEXT, 
	fault_owner TEXT, 
	end_detail TEXT, 
	CONSTRAINT pk_calls PRIMARY KEY (call_id)
);
INSERT INTO "calls" VALUES('rtc_one','2026-03-01 09:00:00.123456','wh_rtc_one','+15550100123','+15550100000','front-desk','gpt-realtime-2.1','a84b4c76e66710','c0ffee','ended',2,'2026-03-01 09:01:00.123456','agent_hung_up','none','The agent said goodbye and hung up.');
CREATE TABLE latencies (
	arrival INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	sequence INTEGER NOT NULL, 
	milliseconds DOUBLE NOT NULL, 
	CONSTRAINT pk_latencies PRIMARY KEY (arrival), 
	CONSTRAINT fk_latencies_calls FOREIGN KEY(call_id) REFERENCES calls (call_id), 
	CONSTRAINT uq_latencies UNIQUE (call_id, name, sequence)
);
INSERT INTO "latencies" VALUES(1,'rtc_one','webhook_to_accept',0,81.5);
CREATE TABLE tool_runs (
	arrival INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	tool_call_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arguments TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	output TEXT, 
	is_error BOOLEAN NOT NULL, 
	duration_ms DOUBLE, 
	CONSTRAINT pk_tool_runs PRIMARY KEY (arrival), 
	CONSTRAINT fk_tool_runs_calls FOREIGN KEY(call_id) REFERENCES calls (call_id), 
	CONSTRAINT uq_tool_runs UNIQUE (call_id, tool_call_id)
);
INSERT INTO "tool_runs" VALUES(1,'rtc_one','call_1','next_free_slot','{"day": "Monday"}','2026-03-01 09:00:05.123456','Monday at nine',0,12.5);
CREATE TABLE transcript_lines (
	call_id TEXT NOT NULL, 
	item_id TEXT NOT NULL, 
	position DOUBLE NOT NULL, 
	role TEXT NOT NULL, 
	text TEXT NOT NULL, 
	interrupted BOOLEAN NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_transcript_lines PRIMARY KEY (call_id, item_id), 
	CONSTRAINT fk_transcript_lines_calls FOREIGN KEY(call_id) REFERENCES calls (call_id)
);
INSERT INTO "transcript_lines" VALUES('rtc_one','item_1',1.0,'agent','Harbor Dental, good morning.',0,'2026-03-01 09:00:01.123456');
INSERT INTO "transcript_lines" VALUES('rtc_one','item_2',2.0,'caller','Hello.',0,'2026-03-01 09:00:02.123456');
CREATE TABLE usage (
	arrival INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	source_id TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	cached_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	input_audio_tokens INTEGER NOT NULL, 
	output_audio_tokens INTEGER NOT NULL, 
	duration_s DOUBLE NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (arrival), 
	CONSTRAINT fk_usage_calls FOREIGN KEY(call_id) REFERENCES calls (call_id), 
	CONSTRAINT uq_usage UNIQUE (call_id, kind, source_id)
);
INSERT INTO "usage" VALUES(1,'rtc_one','response','resp_1','2026-03-01 09:00:06.123456',100,64,20,80,15,0.0);
CREATE INDEX ix_calls_started_at ON calls (started_at);
CREATE INDEX ix_calls_sip_call_id ON calls (sip_call_id);
COMMIT;
