/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One random 128-bit number per kind of event an operator may alert on (journalctl MESSAGE_ID=..., journalctl -x). */

#define MESSAGE_ID_STATE_CHANGE_STR "0960d6f07b7e4e51a6c1a8e24d83c620" /* an instance changed its role */
#define MESSAGE_ID_STALLED_STR "a17cca9fb5d94a21b8ff82dc76330050" /* we slept or starved past the dead interval */
#define MESSAGE_ID_ADDRESS_RESTORED_STR "6ca5a818457443498a0f923d743798e3" /* somebody else removed an address of ours; put back */
#define MESSAGE_ID_ADDRESS_NOT_HELD_STR "6aa8329c2b9d4c3f9ab4950b5d6f240c" /* the kernel refused an address */
#define MESSAGE_ID_CONFIG_PROBLEM_STR "3ba7a062b23944989c241204c14752cd" /* a file has an error and is not in force */
#define MESSAGE_ID_SCRIPT_FAILED_STR "247a9f1048274db5845c87541cce24a0" /* an up or down script failed or was killed */
#define MESSAGE_ID_SEND_FAILED_STR "c36e04598349432b8a7a81feed7c543e" /* adverts cannot be sent */
#define MESSAGE_ID_UNIT_FAILED_STR "9c84706522b745d998ad7b8ccd9ffc0d" /* a unit that hangs on a role failed or hangs */
#define MESSAGE_ID_CHECK_FAILED_STR "97453e85905d4993a2e9346b3694c273" /* a check fails, and counts */
#define MESSAGE_ID_CHECK_PASSED_STR "6d14cbfb327a4339b78953a663c248b3" /* and passes again */
#define MESSAGE_ID_CONFLICT_STR "cc3609d540cf4af7b62dc5a7cb29d823" /* another host claims an address of ours */
#define MESSAGE_ID_MISFIT_STR "86f5a80a105947d5b0961229f9bb7169" /* another host does not fit to an instance, and why */
#define MESSAGE_ID_RESUMED_STR "7791abdf42614fd7928902826df1c01b" /* a restart: the role of the process before goes on */
