/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Every well-known string of our bus interface, once. */
#define VIPD_BUS_NAME "org.vipd1"
#define VIPD_PATH "/org/vipd1"
#define VIPD_INSTANCE_PREFIX "/org/vipd1/instance"
#define VIPD_MANAGER_INTERFACE "org.vipd1.Manager"
#define VIPD_INSTANCE_INTERFACE "org.vipd1.Instance"

#define VIPD_ERROR_NO_SUCH_INSTANCE "org.vipd1.Error.NoSuchInstance"
#define VIPD_ERROR_NOT_MASTER "org.vipd1.Error.NotMaster"
#define VIPD_ERROR_NOT_ENABLED "org.vipd1.Error.NotEnabled"
#define VIPD_ERROR_BUSY "org.vipd1.Error.Busy"

#define VIPD_ACTION_DEMOTE "org.vipd1.demote"
#define VIPD_ACTION_PROMOTE "org.vipd1.promote"
#define VIPD_ACTION_ENABLE "org.vipd1.enable"
#define VIPD_ACTION_RELOAD "org.vipd1.reload"
