// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Ownable2StepUpgradeable} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {DstackAppPolicy} from "./DstackAppPolicy.sol";

/// The newer app contract: a new owner has to accept, and the platform's TCB can be required to be up to date.
contract DstackAppTwoStep is DstackAppPolicy, Ownable2StepUpgradeable {
    bool public requireTcbUpToDate; // slot 3: appended, so that a proxy of the older contract can move here

    event RequireTcbUpToDateSet(bool requireUpToDate);

    function initialize(address owner_, bool noUpgrades, bool anyDevice, bytes32 deviceId, bytes32 composeHash)
        external
        initializer
    {
        _begin(owner_, noUpgrades, anyDevice, deviceId, composeHash);
    }

    function initialize(
        address owner_,
        bool noUpgrades,
        bool freshTcb,
        bool anyDevice,
        bytes32 deviceId,
        bytes32 composeHash
    ) external initializer {
        _begin(owner_, noUpgrades, anyDevice, deviceId, composeHash);
        requireTcbUpToDate = freshTcb;
    }

    function version() external pure returns (uint256) {
        return 2;
    }

    function setRequireTcbUpToDate(bool requireUpToDate) external onlyOwner {
        requireTcbUpToDate = requireUpToDate;
        emit RequireTcbUpToDateSet(requireUpToDate);
    }

    function transferOwnership(address to) public override(OwnableUpgradeable, Ownable2StepUpgradeable) {
        Ownable2StepUpgradeable.transferOwnership(to);
    }

    function _transferOwnership(address to) internal override(OwnableUpgradeable, Ownable2StepUpgradeable) {
        Ownable2StepUpgradeable._transferOwnership(to);
    }

    function _needsFreshTcb() internal view override returns (bool) {
        return requireTcbUpToDate;
    }
}
