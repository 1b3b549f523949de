-- Locked by whoever reads several views in one snapshot (ACCESS SHARE, before the snapshot is taken), and by a switch to a rebuilt
-- version (ACCESS EXCLUSIVE). A snapshot older than the switch would find the new tables by name, but not see the rows that were
-- committed to them after it was taken: views older than the checkpoint beside them. So no snapshot lives across a switch.
CREATE TABLE view_switch ();
