ucarp -i eth0 -s 192.0.2.1 -v 0x10 -p sesame -a 192.0.2.50 -k 300 -b 257 -r 1000 -z leftover
